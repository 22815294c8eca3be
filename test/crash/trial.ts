import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { openRun } from '../../src/runs/index.ts';
import type { Ended } from '../cli/spinquant.ts';
import { spinquant } from '../cli/spinquant.ts';
import type { Dice } from '../fuzz/mutations/dice.ts';
import { type Kill, type Moment, phasesOf, runAndKill, runFolders } from './kill.ts';
import { readTraces, type Traces } from './traces.ts';

/** An undisturbed run of an experiment. */
export interface Reference {
  readonly experiment: string;
  readonly dir: string;
  readonly traces: Traces;
  /** In milliseconds. */
  readonly took: Partial<Record<Moment, number>>;
}

export interface Trial {
  /** Where the process died, in words. */
  readonly kills: readonly string[];
}

const MOMENTS: readonly Moment[] = [
  'start',
  'learn',
  'learn',
  'fuse',
  'round',
  'round',
  'evaluate',
  'statistics',
];
/** Until a run began, the engine is loaded; most of that is the same every time. */
const START_MS = 1000;
/** What does not come to its end after so many tries never will. */
const MOST_TRIES = 12;

export async function makeReference(workspace: string, experiment: string): Promise<Reference> {
  const { code, stdout, stderr } = await spinquant(['optimize', experiment, '--json'], workspace);
  assert.equal(code, 0, stderr);
  const { run: dir } = JSON.parse(stdout) as { run: string };
  return { experiment, dir, traces: await readTraces(dir), took: { start: START_MS, ...phasesOf(dir) } };
}

function drawKill(dice: Dice, { took }: Reference): Kill {
  const moment = dice.pick(MOMENTS.filter((one) => took[one] !== undefined));
  return { moment, delayMs: dice.below(Math.ceil(took[moment] ?? 0) + 5) };
}

const wasKilled = ({ signal }: Ended): boolean => signal === 'SIGKILL';

/** Kills an optimization once or twice, resumes it to its end, and compares every bit. */
export async function tryOptimize(workspace: string, reference: Reference, dice: Dice): Promise<Trial> {
  const { experiment } = reference;
  const before = new Set(runFolders(workspace));
  const newest = () => runFolders(workspace).findLast((dir) => !before.has(dir));
  const kills: string[] = [];
  let left = dice.chance(0.5) ? 2 : 1;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const kill = left > 0 ? drawKill(dice, reference) : null;
    const dir = newest();
    const resume = dir === undefined || kills.length === 0 ? [] : ['--resume', basename(dir)];
    const ended = await runAndKill(['optimize', experiment, '--json', ...resume], workspace, kill);
    if (wasKilled(ended)) {
      left--;
      kills.push(`${resume.length > 0 ? 'resumed, ' : ''}${kill?.moment} + ${kill?.delayMs} ms`);
      await expectListed(workspace, newest());
      continue;
    }
    if (ended.code === 0) {
      const { run } = JSON.parse(ended.stdout) as { run: string };
      assert.deepEqual(await readTraces(run), reference.traces, `killed at ${kills.join('; ')}`);
      return { kills };
    }
    // Killed before its first checkpoint, or after its end: it says so, and a new run is begun.
    assert.equal(ended.code, 1, `${kills.join('; ')}:\n${ended.stderr}`);
    const { error } = JSON.parse(ended.stdout) as { error: { code: string; message: string } };
    if (dir && (await openRun(dir)).record.status === 'finished') {
      assert.deepEqual(await readTraces(dir), reference.traces, `killed at ${kills.join('; ')}`);
      return { kills };
    }
    assert.equal(error.code, 'runs/not-resumable', `${kills.join('; ')}:\n${error.message}`);
    for (const other of runFolders(workspace)) before.add(other);
  }
  throw new Error(`${experiment} did not come to its end, killed at ${kills.join('; ')}`);
}

/** A killed run is in the list, and nothing there is damaged. */
async function expectListed(workspace: string, dir: string | undefined): Promise<void> {
  const { code, stdout, stderr } = await spinquant(['runs', join(workspace, 'runs'), '--json'], workspace);
  assert.equal(code, 0, stderr);
  const { runs, damaged } = JSON.parse(stdout) as {
    runs: { dir: string; status: string }[];
    damaged: { message: string }[];
  };
  assert.deepEqual(damaged, []);
  const found = runs.find((run) => run.dir === dir);
  // Between the folder and its record, there is no run yet.
  if (found) assert.ok(['interrupted', 'finished'].includes(found.status), `${dir} is ${found.status}`);
}

/** Kills a measurement of a finished run, measures again, and compares every bit. */
export async function tryEvaluate(workspace: string, reference: Reference, dice: Dice): Promise<Trial> {
  const { experiment, dir, took } = reference;
  const args = ['evaluate', experiment, '--run', dir, '--json'];
  const moment = dice.chance(0.3) ? 'start' : 'evaluate';
  const kill: Kill = { moment, delayMs: dice.below(Math.ceil(took[moment] ?? 0) + 5) };
  // A measurement of a run leaves no events: its own time has to do.
  const ended = await runAndKill(args, workspace, { moment: 'start', delayMs: START_MS / 2 + kill.delayMs });
  const after = await spinquant(args, workspace);
  assert.equal(after.code, 0, after.stderr);
  assert.deepEqual(await readTraces(dir), reference.traces);
  return { kills: wasKilled(ended) ? [`evaluate, ${kill.delayMs} ms`] : [] };
}
