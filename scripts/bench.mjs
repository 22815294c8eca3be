/**
 * `npm run bench` runs every `*.bench.ts` below `bench/`, one after another. `npm run bench -- name` runs those with
 * the name in their path.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './project.mjs';
import { setUp } from './setup.mjs';

await setUp();
const wanted = process.argv.slice(2);
const files = readdirSync(join(ROOT, 'bench'), { recursive: true })
  .filter((name) => name.endsWith('.bench.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(
    wanted.length > 0 ? `No bench has ${wanted.join(' or ')} in its name.` : 'There are no benches.',
  );
  process.exit(1);
}
for (const name of files) {
  console.log(`\n${name}`);
  const status = run(process.execPath, ['--import', 'tsx', join('bench', name)]);
  if (status !== 0) process.exitCode = status;
}
