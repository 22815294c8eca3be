/** What a window leaves is told by the next one, once. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
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

function makeFile(t: TestContext): { readonly path: string; open(): UnfinishedJobs } {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-unfinished-'));
  t.after(() => rmSync(folder, { recursive: true }));
  // The folder that VS Code names need not be there yet.
  const path = join(folder, 'storage', 'unfinished-jobs.json');
  const log = { warn: (message: string) => assert.fail(message) };
  return { path, open: () => new UnfinishedJobs(path, log) };
}

test('the next window finds what ran and what waited, and the one after it nothing', (t) => {
  const { open } = makeFile(t);
  const before = open();
  assert.deepEqual(before.left, []);
  before.keep([filling, waiting]);
  assert.deepEqual(open().left, [filling, waiting]);
  assert.deepEqual(open().left, []);
});

test('a job that ends is not left; one that ends because its window closes is', (t) => {
  const { open } = makeFile(t);
  const first = open();
  first.keep([filling]);
  first.keep([]);
  const second = open();
  assert.deepEqual(second.left, []);
  second.keep([filling]);
  second.close();
  // The worker stops in order, and the queue says so.
  second.keep([]);
  assert.deepEqual(open().left, [filling]);
});

test('what another version wrote is left out', (t) => {
  const { path, open } = makeFile(t);
  open().keep([filling]);
  const foreign = [null, 7, {}, { ...filling, request: { kind: 'fly', experiment: FILE } }, waiting];
  writeFileSync(path, JSON.stringify(foreign));
  assert.deepEqual(open().left, [waiting]);
  writeFileSync(path, '{"version":2}');
  assert.deepEqual(open().left, []);
});

test('a file that cannot be written stops no job', (t) => {
  const { path } = makeFile(t);
  const warnings: string[] = [];
  const log = { warn: (message: string) => void warnings.push(message) };
  // Its folder would have to be a file.
  mkdirSync(dirname(dirname(path)), { recursive: true });
  writeFileSync(dirname(path), '');
  new UnfinishedJobs(path, log).keep([filling]);
  assert.equal(warnings.length, 1);
  new UnfinishedJobs(null, log).keep([filling]);
});
