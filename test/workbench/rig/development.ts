/** Makes a page's workbench run an extension from its development tree, with a test suite inside the extension host. */
import type { Page } from 'playwright-core';

export interface Development {
  /** Folders with an extension's package.json. */
  readonly extensions: readonly string[];
  /** Module that exports `run`. */
  readonly tests: string;
}

/** The page's configuration is JSON in an attribute of this element. */
const CONFIGURATION = /(id="vscode-workbench-web-configuration" data-settings=")([^"]*)(")/;

/**
 * Adds `developmentOptions` to the configuration in the page that the server sends. To be called before the page is
 * opened; the workbench has no other door for it on a server that it did not start itself.
 */
export async function developIn(page: Page, port: number, development: Development): Promise<void> {
  const authority = `127.0.0.1:${port}`;
  const uri = (path: string) => ({ scheme: 'vscode-remote', authority, path });
  const developmentOptions = {
    extensions: development.extensions.map(uri),
    extensionTestsPath: uri(development.tests),
  };
  const isWorkbench = (url: URL) => url.host === authority && url.pathname === '/';
  await page.route(isWorkbench, async (route) => {
    const response = await route.fetch();
    const html = await response.text();
    const [, before, settings, after] = CONFIGURATION.exec(html) ?? [];
    if (settings === undefined) throw new Error('The workbench page has no configuration to add to.');
    const configuration = { ...JSON.parse(unescapeAttribute(settings)), developmentOptions };
    const attribute = `${before}${escapeAttribute(JSON.stringify(configuration))}${after}`;
    await route.fulfill({ response, body: html.replace(CONFIGURATION, () => attribute) });
  });
}

const escapeAttribute = (text: string) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
const unescapeAttribute = (text: string) => text.replaceAll('&quot;', '"').replaceAll('&amp;', '&');
