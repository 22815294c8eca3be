import type { build } from 'esbuild';

/** @param bundle esbuild's `build`. @param outdir where `<panel>.js` and `<panel>.css` go. */
export function buildWebview(bundle: typeof build, outdir?: string): Promise<void>;

/** The panels: folders of `webview` that have a `main.ts`. */
export function panelNames(): string[];
