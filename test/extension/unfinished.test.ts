/** What a window leaves is told by the next one, once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type UnfinishedJob, UnfinishedJobs } from '../../src/extension/jobs/unfinished.ts';

const FILE = '/lab/table.spinquant.json';
const filling: UnfinishedJob = {
  request: { kind: 'optimize', experiment: FILE },
  runDir: '/lab/.spinquant/runs/cell',
  atWork: true,
};
const waiting: UnfinishedJob = {
  request: { kind: 'evaluate', experiment: FILE, withoutRotations: true },
  runDir: null,
  atWork: false,
};

/** As VS Code keeps it: values go through JSON. */
function makeMemory() {
  const kept = new Map<string, string>();
  return {
    kept,
    get: (key: string): unknown => JSON.parse(kept.get(key) ?? 'null'),
    async update(key: string, value: unknown) {
      kept.set(key, JSON.stringify(value));
    },
  };
}

test('the next window finds what ran and what waited, and the one after it nothing', () => {
  const memory = makeMemory();
  const before = new UnfinishedJobs(memory);
  assert.deepEqual(before.left, []);
  before.keep([filling, waiting]);
  assert.deepEqual(new UnfinishedJobs(memory).left, [filling, waiting]);
  assert.deepEqual(new UnfinishedJobs(memory).left, []);
});

test('a job that ends is not left; one that ends because its window closes is', () => {
  const memory = makeMemory();
  const first = new UnfinishedJobs(memory);
  first.keep([filling]);
  first.keep([]);
  const second = new UnfinishedJobs(memory);
  assert.deepEqual(second.left, []);
  second.keep([filling]);
  second.close();
  // The worker stops in order, and the queue says so.
  second.keep([]);
  assert.deepEqual(new UnfinishedJobs(memory).left, [filling]);
});

test('what another version wrote is left out', () => {
  const memory = makeMemory();
  new UnfinishedJobs(memory).keep([filling]);
  const [key] = memory.kept.keys();
  const foreign = [null, 7, {}, { ...filling, request: { kind: 'fly', experiment: FILE } }, waiting];
  memory.kept.set(key!, JSON.stringify(foreign));
  assert.deepEqual(new UnfinishedJobs(memory).left, [waiting]);
  memory.kept.set(key!, '{"version":2}');
  assert.deepEqual(new UnfinishedJobs(memory).left, []);
});
