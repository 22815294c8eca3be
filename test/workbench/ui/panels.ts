/** Panels as a person reads them: every chart has a table of the same numbers behind its button. */
import type { Frame, Locator } from 'playwright-core';

export function figure(frame: Frame, id: string): Locator {
  return frame.locator(`section.figure#${id}`);
}

/** Rows of the table behind a chart, which is shown as a chart again afterwards. */
export async function tableBehind(frame: Frame, id: string): Promise<string[][]> {
  const chart = figure(frame, id);
  const toTable = chart.getByText('Table', { exact: true });
  const toChart = chart.getByText('Chart', { exact: true });
  // A panel that was hidden right after a click may come back as it was before it.
  await toTable.or(toChart).first().waitFor();
  if (await toTable.isVisible()) await toTable.click();
  const rows = await cells(chart.locator('table.twin tbody tr'));
  await toChart.click();
  // The state that a panel keeps is still on its way while it draws; hiding the panel at once may be faster.
  await chart.locator('.plot svg').waitFor();
  await frame.waitForTimeout(300);
  return rows;
}

/** Texts of all cells, row by row. */
export async function cells(rows: Locator): Promise<string[][]> {
  return Promise.all((await rows.all()).map((row) => row.locator('th, td').allTextContents()));
}

/** The first line of a chart as it is drawn: an SVG path. */
export async function drawnLine(frame: Frame, id: string): Promise<string> {
  const line = figure(frame, id).locator('svg .mark-line path').first();
  return (await line.count()) === 0 ? '' : ((await line.getAttribute('d')) ?? '');
}

/** A number as panels write it: a real minus, thin spaces. */
export function numberOf(text: string): number {
  return Number(text.replaceAll('−', '-').replace(/[^\d.e-]/g, ''));
}
