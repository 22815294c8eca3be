import assert from 'node:assert/strict';
import test from 'node:test';
import { LiveRuns } from '../../src/extension/runs/live.ts';
import { distinctNames, runName } from '../../src/extension/runs/names.ts';
import type { Job } from '../../src/extension/services.ts';
import { Run, type RunCell } from '../../src/runs/index.ts';
import { FILE, summary } from './run-fixture.ts';

const ENGLISH = { locale: 'en-GB', t: (message: string) => message };
const DIR = '/lab/.spinquant/runs/a';

function job(change: Partial<Job>): Job {
  const state = { state: 'running', runDir: DIR, message: null } as const;
  return { id: 'job-1', kind: 'optimize', experiment: FILE, ...state, ...change };
}

test('a run is shown as running until its job has ended, then as its record says', () => {
  let running: Job | null = job({});
  const runs = new LiveRuns(() => running);
  const status = () => runs.get(DIR)?.record.status;
  assert.equal(status(), undefined);
  runs.set(summary({ id: 'a', status: 'running' }).run);
  assert.equal(status(), 'running');
  // The worker is gone, and the file system says so before the queue does.
  runs.set(summary({ id: 'a', status: 'interrupted' }).run);
  assert.equal(status(), 'running');
  assert.deepEqual(
    runs.sorted().map(({ record }) => record.status),
    ['running'],
  );
  running = null;
  assert.equal(status(), 'interrupted');
  // It is resumed: running before the worker has claimed it.
  running = job({ id: 'job-2' });
  assert.equal(status(), 'running');
  running = job({ id: 'job-3', runDir: '/lab/.spinquant/runs/b' });
  assert.equal(status(), 'interrupted');
});

test('a finished run that is measured again stays finished; a run made for measuring counts while it is made', () => {
  let running: Job | null = job({ kind: 'evaluate' });
  const runs = new LiveRuns(() => running);
  runs.set(summary({ id: 'a', status: 'finished' }).run);
  assert.equal(runs.get(DIR)?.record.status, 'finished');
  running = job({ id: 'job-2', kind: 'evaluate' });
  runs.set(summary({ id: 'a', status: 'running' }).run);
  runs.set(summary({ id: 'a', status: 'interrupted' }).run);
  assert.equal(runs.get(DIR)?.record.status, 'running');
  running = null;
  assert.equal(runs.get(DIR)?.record.status, 'interrupted');
});

test('a cell that was kept stays finished while it stands for its whole table', () => {
  const kept = '/lab/.spinquant/runs/fp';
  let running = job({});
  const runs = new LiveRuns(() => running);
  runs.set(summary({ id: 'fp' }).run);
  runs.set(summary({ id: 'a', status: 'running' }).run);
  // The last cell has ended, and the job names the first one as its result.
  running = job({ runDir: kept });
  assert.equal(runs.get(kept)?.record.status, 'finished');
  running = job({});
  runs.set(summary({ id: 'a', status: 'finished' }).run);
  assert.equal(runs.get(DIR)?.record.status, 'running', 'one that was seen at work ends with its job');
});

test('runs of the same minute are told apart by seconds, of the same second by a number; others keep short names', () => {
  const at = (id: string, startedAt: string) => {
    const { run } = summary({ id });
    return new Run(run.dir, { ...run.record, startedAt });
  };
  const runs = [
    at('d', '2026-01-01T10:01:00.000Z'),
    at('c', '2026-01-01T10:00:30.900Z'),
    at('b', '2026-01-01T10:00:30.100Z'),
    at('a', '2026-01-01T10:00:05.000Z'),
  ];
  const names = distinctNames(runs, ENGLISH);
  const shown = runs.map((run) => runName(run, { name: names.get(run.dir) ?? null }, ENGLISH).name);
  assert.equal(new Set(shown).size, 4, shown.join('\n'));
  assert.match(shown[0]!, /^quick 1 Jan, \d\d:01$/);
  assert.match(shown[1]!, /^quick 1 Jan, \d\d:00:30 \(2\)$/);
  assert.match(shown[2]!, /^quick 1 Jan, \d\d:00:30$/);
  assert.match(shown[3]!, /^quick 1 Jan, \d\d:00:05$/);
  assert.equal(names.size, 3);
});

const CELL = { bits: '4-4-4', method: 'rtn', title: 'RTN', seed: 0, seeded: false, key: 'k', inputs: null };

function runOf(id: string, cell: Partial<RunCell>, file?: string): Run {
  const { run } = summary({ id, measuredAt: '2026-01-01T10:00:30.000Z' });
  const experimentFile = file ?? run.record.experimentFile;
  return new Run(run.dir, { ...run.record, experimentFile, cell: { ...CELL, ...cell } });
}

test('a cell is named by method, bits and seed, where it has one; its title says no bits twice', () => {
  const learned = runOf('a', { title: 'SpinQuant had + GPTQ', seed: 1, seeded: true });
  const { name, title } = runName(learned, { name: null }, ENGLISH);
  assert.equal(name, 'SpinQuant had + GPTQ · 4-4-4 · seed 1');
  assert.equal(title, name);
  assert.equal(runName(runOf('b', {}), { name: null }, ENGLISH).name, 'RTN · 4-4-4');
  assert.equal(runName(learned, { name: 'the best' }, ENGLISH).title, 'the best · W4A4KV4');
  const own = runName(summary({ id: 'c' }).run, { name: null }, ENGLISH);
  assert.equal(own.title, `${own.name} · W4A4KV4`);
});

test('cells of one name are told apart by their experiment, or else by time and number', () => {
  const runs = [
    runOf('a', {}, '../../../other.spinquant.json'),
    runOf('b', { key: 'before an edit' }),
    runOf('c', {}),
    runOf('d', { bits: '4-8-16' }),
  ];
  const names = distinctNames(runs, ENGLISH);
  assert.equal(names.get(runs[0]!.dir), 'RTN · 4-4-4 · other');
  assert.match(names.get(runs[1]!.dir)!, /^RTN · 4-4-4 · quick 1 Jan, \d\d:00:30$/);
  assert.match(names.get(runs[2]!.dir)!, /^RTN · 4-4-4 · quick 1 Jan, \d\d:00:30 \(2\)$/);
  assert.equal(names.has(runs[3]!.dir), false, 'its usual name is enough');
});
