import { type Browser, chromium } from 'playwright-core';

/** The workbench talks to a server on this machine from a page and from its webviews' own origins. */
const DISABLED_FEATURES = ['LocalNetworkAccessChecks', 'LocalNetworkAccessChecksWebSockets'];

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--no-first-run',
  `--disable-features=${DISABLED_FEATURES.join(',')}`,
];

export function openBrowser(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, headless: true, args: FLAGS });
}
