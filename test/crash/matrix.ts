/** Kills a process that fills a table, again and again: the table in the end is that of one left alone. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { spinquant } from '../cli/spinquant.ts';
import { Dice } from '../fuzz/mutations/dice.ts';
import { type Kill, runAndKill } from './kill.ts';

/** A cell without its run, its time, and the way to them. */
interface Numbers {
  readonly method: string;
  readonly bits: string;
  readonly seed: number;
  readonly name: string | null;
  readonly value: number | null;
  readonly status: string;
}

/**
 * @param file an experiment with a matrix; its folder is copied, with all that it names.
 * @param say gets a line for each kill.
 * @returns the number of kills and of cells.
 */
export async function crashMatrix(
  file: string,
  kills: number,
  seed: number,
  say: (line: string) => void,
): Promise<{ readonly kills: number; readonly cells: number }> {
  const parent = mkdtempSync(join(tmpdir(), 'spinquant-crash-'));
  try {
    const [alone, killed] = ['alone', 'killed'].map((name) => join(parent, name)) as [string, string];
    for (const folder of [alone, killed]) cpSync(dirname(file), folder, { recursive: true });
    const began = performance.now();
    await fill(alone, basename(file));
    const took = performance.now() - began;
    const expected = await numbersOf(alone, basename(file));
    say(`alone: ${expected.length} cells in ${(took / 1000).toFixed(0)} s`);
    const struck = await killOften(killed, basename(file), { kills, took, dice: new Dice(seed, 0) }, say);
    await fill(killed, basename(file));
    assert.deepEqual(await numbersOf(killed, basename(file)), expected);
    return { kills: struck, cells: expected.length };
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

interface Plan {
  readonly kills: number;
  /** Milliseconds of a process that was left alone. */
  readonly took: number;
  readonly dice: Dice;
}

/** Moments are spread over what a process does from its start to a few cells later, so that all kinds are met. */
async function killOften(
  folder: string,
  file: string,
  plan: Plan,
  say: (line: string) => void,
): Promise<number> {
  const { kills, took, dice } = plan;
  const longest = Math.max(3000, (2 * took) / kills);
  let struck = 0;
  while (struck < kills) {
    const delayMs = dice.below(Math.ceil(longest));
    // However fast the machine has become since, the first one strikes: most cells are still to come.
    const kill: Kill = struck === 0 ? { moment: 'evaluate', delayMs: 0 } : { moment: 'start', delayMs };
    const { signal } = await runAndKill(['optimize', file], folder, kill);
    if (signal !== 'SIGKILL') break;
    struck++;
    say(`kill ${struck}: ${kill.moment} + ${kill.delayMs} ms`);
  }
  return struck;
}

async function fill(folder: string, file: string): Promise<void> {
  const { code, stderr } = await spinquant(['optimize', file], folder);
  assert.equal(code, 0, stderr);
}

async function numbersOf(folder: string, file: string): Promise<Numbers[]> {
  const { stdout } = await spinquant(['table', file, '--json'], folder);
  const { cells } = JSON.parse(stdout) as { cells: Numbers[] };
  return cells.map(({ method, bits, seed, name, value, status }) => ({
    method,
    bits,
    seed,
    name,
    value,
    status,
  }));
}
