/** What runs share stays while one of them is there, and goes when a person asks for that. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { listShared, loadExperiment, runMatrix, sweepShared } from '../../src/engine/index.ts';
import { collectCells, listRuns, takeLock } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const FILE = join(folder, 'sweep.spinquant.json');
const RUNS = join(folder, 'sweep-runs');
const STEPS = join(RUNS, '.steps');

const experiment = () => loadExperiment(FILE, 'optimize');
const fill = async () => collect(runMatrix(await experiment(), { kernels: 'composed' }));
const numbersOf = async () =>
  (await collectCells(await experiment())).map(({ method, results }) => [method, results?.perplexity]);
const unused = async () => {
  const found = (await listShared(RUNS)).results.filter(({ usedBy }) => usedBy === 0);
  return found.map(({ step }) => step).sort();
};
const foldersIn = (parent: string) => readdirSync(parent).filter((name) => name !== 'lock');

before(async () => {
  const text = {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 2, sequenceLength: 32 },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows: 1 }] },
    device: 'cpu',
    threads: 1,
    runs: 'sweep-runs',
    matrix: { bits: ['4-8-8'], methods: ['rtn', 'gptq'] },
  };
  writeFileSync(FILE, JSON.stringify(text));
  await fill();
});

test('while its runs are there, everything is used; a folder without runs shares nothing', async () => {
  const { results, unknown } = await listShared(RUNS);
  assert.deepEqual([await unused(), unknown], [[], []]);
  assert.equal(results.length, foldersIn(STEPS).length);
  // Full precision serves all three.
  assert.equal(Math.max(...results.map(({ usedBy }) => usedBy)), 3);
  assert.ok(results.every(({ bytes }) => bytes > 0));
  await sweepShared(RUNS);
  assert.equal(foldersIn(STEPS).length, results.length);
  assert.deepEqual(await sweepShared(join(folder, 'nowhere')), { results: [], unknown: [] });
  assert.ok(!existsSync(join(folder, 'nowhere')));
});

test('what only a deleted run used goes, the others keep theirs, and the table is filled again to the bit', async () => {
  const before = await numbersOf();
  const gone = (await collectCells(await experiment())).find(({ method }) => method === 'gptq');
  rmSync(gone!.run!, { recursive: true });
  assert.deepEqual(await unused(), ['gptq', 'perplexity']);
  // While a table is filled, nothing goes.
  const { lock } = takeLock(STEPS);
  const count = foldersIn(STEPS).length;
  await assert.rejects(sweepShared(RUNS), { code: 'matrix/busy' });
  lock.release();
  assert.equal(foldersIn(STEPS).length, count);
  await sweepShared(RUNS);
  assert.equal(foldersIn(STEPS).length, count - 2);
  const { events } = await fill();
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'cell' ? event.state : [])),
    ['kept', 'kept', 'started', 'finished'],
  );
  assert.deepEqual(await numbersOf(), before);
  assert.deepEqual(await unused(), []);
});

test('what was cut off while it was removed goes the next time', async () => {
  mkdirSync(join(STEPS, `.removed-${'a'.repeat(32)}`, 'rounded'), { recursive: true });
  await sweepShared(RUNS);
  assert.ok(foldersIn(STEPS).every((name) => !name.startsWith('.removed-')));
});

test('trained weights that were written to lately stay: an evaluation may be at work without a run', async () => {
  const trained = join(RUNS, '.trained', 'b'.repeat(32));
  mkdirSync(trained, { recursive: true });
  writeFileSync(join(trained, 'state.safetensors'), 'x');
  await sweepShared(RUNS);
  assert.ok(existsSync(trained));
  const long = new Date(Date.now() - 2 * 3_600_000);
  for (const path of [join(trained, 'state.safetensors'), trained]) utimesSync(path, long, long);
  await sweepShared(RUNS);
  assert.ok(!existsSync(trained));
});

test('a cell of an earlier version does not say what it uses: nothing is removed, and it is named', async () => {
  const [run] = (await listRuns(RUNS)).runs;
  const path = join(run!.dir, 'run.json');
  const text = readFileSync(path, 'utf8');
  const { uses, ...older } = JSON.parse(text);
  assert.ok(uses.length > 0);
  writeFileSync(path, JSON.stringify(older));
  const unneeded = join(STEPS, 'c'.repeat(32));
  mkdirSync(unneeded);
  await assert.rejects(sweepShared(RUNS), { code: 'runs/unknown-uses', message: new RegExp(run!.record.id) });
  assert.deepEqual((await listShared(RUNS)).unknown, [run!.dir]);
  assert.ok(existsSync(unneeded));
  writeFileSync(path, text);
  await sweepShared(RUNS);
  assert.ok(!existsSync(unneeded));
});
