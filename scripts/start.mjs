/** `npm start` sets everything up, then runs the demonstration. Arguments after `--` go to it. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './project.mjs';
import { setUp } from './setup.mjs';

await setUp();
const cli = join(ROOT, 'dist', 'cli.js');
process.argv.splice(1, 1, cli, 'demo');
await import(pathToFileURL(cli).href);
