import assert from 'node:assert/strict';
import test from 'node:test';
import { experimentSlug } from '../../src/config/index.ts';
import { LiveRuns } from '../../src/extension/runs/live.ts';
import { distinctNames, usualName } from '../../src/extension/runs/names.ts';
import type { Job } from '../../src/extension/services.ts';
import { Run } from '../../src/runs/index.ts';
import { FILE, summary } from './run-fixture.ts';

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
  const names = distinctNames(runs, 'en-GB', experimentSlug);
  const shown = runs.map((run) => names.get(run.dir) ?? usualName(run, 'en-GB'));
  assert.equal(new Set(shown).size, 4, shown.join('\n'));
  assert.match(shown[0]!, /^quick 1 Jan, \d\d:01$/);
  assert.match(shown[1]!, /^quick 1 Jan, \d\d:00:30 \(2\)$/);
  assert.match(shown[2]!, /^quick 1 Jan, \d\d:00:30$/);
  assert.match(shown[3]!, /^quick 1 Jan, \d\d:00:05$/);
  assert.equal(names.size, 3);
});
