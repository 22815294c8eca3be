/** Bundles each panel into one script and one style sheet in `dist/webview/`, for the browser inside the editor. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.mjs';

/** Folders of `webview` that have a `main.ts`. */
export function panelNames() {
  const folder = join(ROOT, 'webview');
  return readdirSync(folder).filter((name) => existsSync(join(folder, name, 'main.ts')));
}

/** @param bundle esbuild's `build`. @param outdir where `<panel>.js` and `<panel>.css` go. */
export async function buildWebview(bundle, outdir = join(ROOT, 'dist', 'webview')) {
  await bundle({
    absWorkingDir: ROOT,
    entryPoints: panelNames().map((panel) => ({ in: `webview/${panel}/main.ts`, out: panel })),
    outdir,
    bundle: true,
    format: 'iife',
    platform: 'browser',
    // VS Code 1.100, the oldest supported editor, has this browser.
    target: 'chrome132',
    minify: true,
    sourcemap: false,
    logLevel: 'warning',
  });
}
