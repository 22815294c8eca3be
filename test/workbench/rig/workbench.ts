import { setTimeout as sleep } from 'node:timers/promises';
import type { Frame, Locator, Page } from 'playwright-core';

const SHOWN_LIMIT_MS = 60_000;
/** A quick pick that does not show it by then is asked once more. */
const SOON = { timeout: 6000 };

/**
 * This class does what a person does in the workbench, and reads what they see there. Every wait ends with an
 * error after its time.
 */
export class Workbench {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Opens the address of a folder and waits until the workbench stands. */
  async open(url: string): Promise<void> {
    await this.page.goto(url, { waitUntil: 'domcontentloaded', timeout: SHOWN_LIMIT_MS });
    await this.untilShown();
  }

  async reload(): Promise<void> {
    await this.page.reload({ waitUntil: 'domcontentloaded', timeout: SHOWN_LIMIT_MS });
    await this.untilShown();
  }

  private async untilShown(): Promise<void> {
    await this.page.locator('.monaco-workbench .activitybar').waitFor({ timeout: SHOWN_LIMIT_MS });
    await this.page
      .locator('.explorer-folders-view, .pane-body')
      .first()
      .waitFor({ timeout: SHOWN_LIMIT_MS });
  }

  /** Runs a command as from the palette: F1, its title, a click. */
  async command(title: string): Promise<void> {
    // The palette lists the commands that were enabled when it opened, so a young window may need another look. It closes
    // where a page that is still loading takes the focus, and where the one before it is still closing.
    for (let looks = 0; looks < 5; looks++) {
      if (looks > 0) await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('F1');
      const picked = this.type(`>${title}`).then(() => this.choice(title).click(SOON));
      if (await picked.then(() => true).catch(() => false)) return;
    }
    await this.pick(title);
  }

  /** Types into the open quick pick. */
  private async type(text: string): Promise<void> {
    await this.page.locator('.quick-input-widget input').first().fill(text, SOON);
  }

  /** A row of the open quick pick. */
  choice(text: string | RegExp): Locator {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: text }).first();
  }

  async pick(text: string | RegExp): Promise<void> {
    await this.choice(text).click();
  }

  /** Opens a file of the workspace folder by name (quick open). */
  async openFile(name: string): Promise<void> {
    // The list is as old as its search, so a file just written may need another look.
    for (let looks = 0; looks < 5; looks++) {
      if (looks > 0) await this.page.keyboard.press('Escape');
      await this.page.keyboard.press('Control+P');
      const shown = this.type(name).then(() => this.choice(name).waitFor(SOON));
      if (await shown.then(() => true).catch(() => false)) break;
    }
    await this.choice(name).waitFor();
    await this.page.keyboard.press('Enter');
    await this.page
      .getByRole('tab', { name: new RegExp(escapeRegExp(name)) })
      .first()
      .waitFor();
  }

  /** Brings an editor or panel that is open to the front of its group. */
  async showTab(title: RegExp): Promise<void> {
    await this.page.getByRole('tab', { name: title }).first().click();
  }

  /** CodeLenses of the editors in view. */
  lens(text: string | RegExp): Locator {
    return this.page.locator('.codelens-decoration a', { hasText: text }).first();
  }

  notification(text: string | RegExp): Locator {
    return this.page.locator('.notification-toast', { hasText: text }).first();
  }

  /** A row of a view of the side bar, by the view's name. */
  treeItem(view: string, text: string | RegExp): Locator {
    return this.view(view).locator('.monaco-list-row', { hasText: text }).first();
  }

  async treeTexts(view: string): Promise<string[]> {
    return this.view(view).locator('.monaco-list-row').allInnerTexts();
  }

  private view(name: string): Locator {
    const header = this.page.getByRole('button', { name: new RegExp(`^${escapeRegExp(name)} Section`) });
    return this.page.locator('.split-view-view .pane', { has: header });
  }

  /** What is told of a place where the pointer rests. A view that draws itself anew takes it away, so it is asked for again. */
  async hover(place: Locator, text: string): Promise<Locator> {
    const hover = this.page.locator('.monaco-hover:visible', { hasText: text }).first();
    for (let looks = 0; looks < 5; looks++) {
      await this.page.mouse.move(0, 0);
      await place.hover();
      const shown = hover.waitFor({ timeout: 6000 });
      if (await shown.then(() => true).catch(() => false)) return hover;
    }
    throw new Error(`No hover tells of ${text}.`);
  }

  async openContainer(name: string): Promise<void> {
    const item = this.page.locator(`.activitybar [aria-label^="${name}"]`).first();
    if ((await item.getAttribute('aria-expanded')) !== 'true') await item.click();
  }

  /** The document of a panel that may be hidden behind other tabs. */
  async panel(title: RegExp): Promise<Frame> {
    await this.showTab(title);
    return this.webview(title);
  }

  /** The document of the webview with that title. */
  async webview(title: RegExp, limitMs = 30_000): Promise<Frame> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      for (const frame of this.page.frames()) if (await isWebview(frame, title)) return frame;
      if (Date.now() > deadline) throw new Error(`No webview ${title} after ${limitMs} ms.`);
      await sleep(100);
    }
  }
}

/** A webview's document is the frame `active-frame` inside another one; the workbench gives it the webview's title. */
async function isWebview(frame: Frame, title: RegExp): Promise<boolean> {
  if (!frame.parentFrame()) return false;
  try {
    const element = await frame.frameElement();
    if ((await element.getAttribute('id')) !== 'active-frame') return false;
    return title.test((await element.getAttribute('title')) ?? '');
  } catch {
    // The frame went away meanwhile.
    return false;
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
