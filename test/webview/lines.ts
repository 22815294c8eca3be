/** Charts as they are drawn. */
import type { PanelPage } from './harness.ts';

/** `2 lines of 55 points`: unbroken pieces of the line marks of a chart, and the points in them. */
export async function lineSegments(panel: PanelPage, id: string): Promise<string> {
  const paths = await panel.page
    .locator(`#${id} .steps_marks path, #${id} .others_marks path`)
    .evaluateAll((elements) => elements.map((element) => element.getAttribute('d') ?? ''));
  const all = paths.join('');
  const lines = all.match(/M/g)?.length ?? 0;
  return `${lines} line${lines === 1 ? '' : 's'} of ${all.match(/[ML]/g)?.length ?? 0} points`;
}

export async function texts(panel: PanelPage, selector: string, pattern: RegExp): Promise<string[]> {
  const found = await panel.page.locator(selector).allTextContents();
  return found.filter((text) => pattern.test(text));
}
