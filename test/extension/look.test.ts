/** Runs that come, go or end without anybody telling. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { makeCurveRun } from '../../scripts/fixtures/make-runs.mts';
import { RunsLook } from '../../src/extension/runs/look.ts';
import { openRun, type Run } from '../../src/runs/index.ts';

const made = (folder: string, minute: number) =>
  makeCurveRun(folder, { slug: `r${minute}`, shape: 'stalled', seed: 1, minute, steps: 3 });

test('a look finds new runs, in folders that were not there, and those that are gone', async (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'spinquant-look-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const folder = join(parent, '.spinquant', 'runs');
  const look = new RunsLook();
  const known: Run[] = [];
  const changes = () => look.changes([folder], known);
  assert.deepEqual(await changes(), []);
  const [first, second] = [made(folder, 0), made(folder, 1)];
  assert.deepEqual((await changes()).sort(), [first, second].sort());
  known.push(await openRun(first), await openRun(second));
  assert.deepEqual(await changes(), []);
  rmSync(first, { recursive: true });
  assert.deepEqual(await changes(), [first]);
  known.shift();
  assert.deepEqual(await changes(), []);
  rmSync(join(parent, '.spinquant'), { recursive: true });
  assert.deepEqual(await changes(), [second]);
});

test('a damaged record is tried once, until it changes; one that is deleted and made again is new', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-look-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const look = new RunsLook();
  const dir = join(folder, 'damaged');
  mkdirSync(dir);
  writeFileSync(join(dir, 'run.json'), '{');
  assert.deepEqual(await look.changes([folder], []), [dir]);
  assert.deepEqual(await look.changes([folder], []), []);
  const run = made(folder, 2);
  assert.deepEqual(await look.changes([folder], []), [run]);
  const opened = await openRun(run);
  rmSync(run, { recursive: true });
  assert.deepEqual(await look.changes([folder], [opened]), [run]);
  assert.equal(made(folder, 2), run);
  assert.deepEqual(await look.changes([folder], []), [run]);
});
