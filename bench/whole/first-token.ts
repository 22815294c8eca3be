/**
 * Measures how long a person waits for the first token: from the start of `spinquant generate` in a process of its own
 * to its first byte of text. What is in memory of the files stays there.
 *
 *     node --import tsx bench/whole/first-token.ts RUN_OR_MODEL [TIMES]
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.js');

/** @returns seconds to the first byte. */
function firstByte(words: readonly string[]): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
  let first: number | null = null;
  child.stdout.on('data', () => {
    first ??= (performance.now() - began) / 1000;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0 && first !== null) resolve(first);
      else reject(new Error(`generate ended with ${code}: run it by hand`));
    });
  });
}

const [named, times = '3'] = process.argv.slice(2);
if (named === undefined) throw new Error('usage: first-token.ts RUN_OR_MODEL [TIMES]');
for (let i = 0; i < Number(times); i++) {
  const words = ['generate', named, '--prompt', 'the', '--tokens', '1'];
  console.log(`${(await firstByte(words)).toFixed(2)} s to the first token`);
}
