/** `npm run workbench` opens the extension and the demo in a browser until Ctrl-C, for people without VS Code. */
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServer } from './server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

// The server ends with this process.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0));
try {
  const server = await startServer({ extensions: [ROOT] });
  console.log(`Open ${server.url(folderToOpen())}\nCtrl-C ends it.`);
  setInterval(() => {}, 2 ** 30);
} catch (error) {
  console.error(`The browser-hosted VS Code cannot start: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** Returns the named folder, else a copy of the examples that keeps its runs between sessions. */
function folderToOpen(): string {
  const [named] = process.argv.slice(2);
  if (named) return resolve(named);
  const copy = join(ROOT, 'build', 'examples');
  if (!existsSync(copy)) {
    mkdirSync(join(ROOT, 'build'), { recursive: true });
    cpSync(join(ROOT, 'examples'), copy, { recursive: true });
  }
  return copy;
}
