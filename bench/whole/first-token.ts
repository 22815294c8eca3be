/**
 * Measures how long a person waits for the first token: from the start of `spinquant generate` in a process of its own
 * to its first byte of text, and what the processor did until then (Linux). What is in memory of the files stays there.
 *
 *     node --import tsx bench/whole/first-token.ts RUN_OR_MODEL [TIMES]
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const CLI = process.env.SPINQUANT_CLI ?? join(import.meta.dirname, '..', '..', 'dist', 'cli.js');

interface Waited {
  readonly seconds: number;
  /** User and system time of all threads; null where the system does not tell. */
  readonly processor: number | null;
}

/** Ticks in which Linux counts processor time are hundredths of a second wherever Node.js runs. */
const TICKS = 100;

function processorSeconds(pid: number | undefined): number | null {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return null;
  // The name of the program, in brackets, may hold spaces; user and system time are the 12th and 13th behind it.
  const [, ...numbers] = readFileSync(path, 'utf8').split(') ').at(-1)!.split(' ');
  return (Number(numbers[10]) + Number(numbers[11])) / TICKS;
}

/** @returns what went by to the first byte. */
function firstByte(words: readonly string[]): Promise<Waited> {
  const began = performance.now();
  const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'ignore'] });
  let first: Waited | null = null;
  child.stdout.on('data', () => {
    first ??= { seconds: (performance.now() - began) / 1000, processor: processorSeconds(child.pid) };
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
  const { seconds, processor } = await firstByte(words);
  const work = processor === null ? '' : `, ${processor.toFixed(2)} s of the processor`;
  console.log(`${seconds.toFixed(2)} s to the first token${work}`);
}
