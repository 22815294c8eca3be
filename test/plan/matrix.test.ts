/** A matrix computes what its cells have in common once, goes on where it stopped, and a failure stays in its cell. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { loadExperiment, optimizeRotation, previewMatrix, runMatrix } from '../../src/engine/index.ts';
import type { CellEvent, RunEvent } from '../../src/protocol/events.ts';
import { collectCells, listRuns, openRun, tableOf } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const FILE = join(folder, 'matrix.spinquant.json');
const KERNELS = { kernels: 'composed' } as const;

const MATRIX = {
  bits: ['4-8-8', '4-4-4'],
  methods: ['rtn', 'gptq', 'peak-gptq', 'spinquant-had-gptq'],
};

function write(matrix: object, more: object = {}): Promise<ResolvedExperiment> {
  const text = {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 8, sequenceLength: 32 },
    quantization: { weights: { gptq: { samples: 4 } } },
    rotation: { learning: { steps: 2, batchSize: 2 } },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows: 2 }] },
    device: 'cpu',
    threads: 1,
    runs: 'matrix-runs',
    matrix,
    ...more,
  };
  writeFileSync(FILE, JSON.stringify(text));
  return loadExperiment(FILE, 'optimize');
}

const statesOf = (events: readonly RunEvent[]): CellEvent['state'][] =>
  events.filter((event) => event.type === 'cell').map(({ state }) => state);

const phases = (events: readonly RunEvent[], name: string): number =>
  events.filter((event) => event.type === 'phase' && event.phase === name && event.state === 'started')
    .length;

let events: readonly RunEvent[] = [];
before(async () => {
  events = (await collect(runMatrix(await write(MATRIX), KERNELS))).events;
});

test('every cell has a run with its numbers, and the file of the experiment tells them all', async () => {
  const cells = await collectCells(await write(MATRIX));
  assert.equal(cells.length, 9);
  for (const { status, results, bits, method } of cells) {
    assert.equal(status, 'finished', `${bits} ${method}`);
    assert.equal(results?.perplexity.length, 1);
  }
  // Every process needs some memory; each cell has steps that ran, or were kept, with theirs.
  for (const { results, seconds } of cells)
    assert.ok((results?.peakBytes ?? 0) > 2 ** 20 && (seconds ?? 0) > 0, 'a cell has its memory and time');
  const { rows } = tableOf(cells);
  assert.ok(rows.every(({ values }) => (values[0]?.mean ?? 0) > 1));
  // Learned rotations lie in the run, also where another cell learned them.
  const learned = cells.filter(({ method }) => method.startsWith('peak'));
  for (const { run } of learned) assert.ok(readdirSync(run!).includes('rotations.safetensors'));
});

test('what cells have in common was computed once', () => {
  // Full precision, and the quantized network of each of the eight others.
  assert.equal(phases(events, 'evaluate'), 9);
  // GPTQ of the network as it is, once for both settings of bits; one by captured rotations; two by cross-entropy.
  assert.equal(phases(events, 'round'), 4);
  assert.equal(phases(events, 'learn'), 3);
});

test('a cell gives the numbers of the same experiment run alone, to the bit', async () => {
  const experiment = await write(MATRIX);
  const cells = await collectCells(experiment);
  const cell = cells.find(({ bits, method }) => bits === '4-4-4' && method === 'spinquant-had-gptq');
  const { matrix: _, ...alone } = await write(MATRIX, {
    // Rows are methods as they were published.
    quantization: { weights: { method: 'gptq', gptq: { samples: 4 } }, keys: { offset: 'bias' } },
    runs: 'alone-runs',
  });
  const { result } = await collect(optimizeRotation(alone, KERNELS));
  const [own] = cell?.results?.perplexity ?? [];
  assert.deepEqual(own?.quantized, result.perplexity[0]?.quantized);
  assert.deepEqual(cell?.results?.loss, result.loss);
});

test("methods that look at different parts of the text do not get in each other's way", async () => {
  const alone = { bits: ['4-8-8'], methods: ['smoothquant'] };
  const more = { scaling: { smoothquant: { samples: 1 } } };
  const perplexityOf = async (matrix: object, runs: string) => {
    const experiment = await write(matrix, { ...more, runs });
    await collect(runMatrix(experiment, KERNELS));
    const cell = (await collectCells(experiment)).find(({ method }) => method === 'smoothquant');
    return cell?.results?.perplexity[0]?.quantized;
  };
  const own = await perplexityOf(alone, 'own-runs');
  // GPTQ, which is rounded before, reads four sequences.
  assert.equal(await perplexityOf({ ...alone, methods: ['gptq', 'smoothquant'] }, 'both-runs'), own);
  assert.ok(own);
});

test('started again, it computes nothing, and makes no new run', async () => {
  const before = (await listRuns(join(folder, 'matrix-runs'))).runs.length;
  const again = await collect(runMatrix(await write(MATRIX), KERNELS));
  assert.deepEqual(new Set(statesOf(again.events)), new Set(['kept']));
  assert.equal(phases(again.events, 'evaluate'), 0);
  assert.equal((await listRuns(join(folder, 'matrix-runs'))).runs.length, before);
});

test('a run folder that is gone is made again from the steps that are kept', async () => {
  const [gone] = (await collectCells(await write(MATRIX))).slice(-1);
  rmSync(gone!.run!, { recursive: true });
  const again = await collect(runMatrix(await write(MATRIX), KERNELS));
  assert.equal(phases(again.events, 'evaluate') + phases(again.events, 'learn'), 0);
  const [made] = (await collectCells(await write(MATRIX))).slice(-1);
  assert.deepEqual(made?.results?.perplexity, gone?.results?.perplexity);
  assert.deepEqual(made?.results?.loss, gone?.results?.loss);
});

test('an edited file computes what its edit changes, and the plan says so before', async () => {
  const wider = { ...MATRIX, bits: ['4-8-8', '4-4-4', '4-16-16'], methods: ['rtn', 'gptq'] };
  const preview = (await collect(previewMatrix(await write(wider), KERNELS))).result;
  const toRun = preview.steps.filter(({ isThere }) => !isThere).map(({ name }) => name);
  assert.deepEqual(toRun, ['perplexity', 'perplexity']);
  const { events: found } = await collect(runMatrix(await write(wider), KERNELS));
  assert.equal(phases(found, 'evaluate'), 2);
  assert.equal(phases(found, 'round'), 0);
});

test('the plan counts the look at activations where the table takes one', async () => {
  const asked = await write({ bits: ['4-4-4'], methods: ['rtn'], statistics: true });
  const { steps } = (await collect(previewMatrix(asked, KERNELS))).result;
  assert.deepEqual(
    steps.filter(({ isThere }) => !isThere).map(({ name }) => name),
    ['statistics'],
  );
});

test('statistics of a row of trained weights are of these', async () => {
  const quick = {
    runs: 'trained-runs',
    quantization: { weights: { clip: false } },
    training: { 'llm-qat': { samples: 2, steps: 1, learningRate: 0.01 } },
  };
  const asked = await write({ bits: ['4-8-16'], methods: ['rtn', 'llm-qat'], statistics: true }, quick);
  await collect(runMatrix(asked, KERNELS));
  const weightsOf = async (wanted: string) => {
    const cell = (await collectCells(asked)).find(({ method }) => method === wanted);
    return (await (await openRun(cell!.run!)).readActivations()).weights ?? [];
  };
  const [given, trained] = await Promise.all([weightsOf('rtn'), weightsOf('llm-qat')]);
  assert.ok(given.length > 0 && given.length === trained.length);
  for (const [i, { after }] of trained.entries()) assert.notDeepEqual(after, given[i]?.after);
});

test('statistics that an earlier version kept serve, with activations alone', async () => {
  // Without a search of clip ratios, which takes long to compile.
  const quick = { runs: 'older-runs', quantization: { weights: { clip: false } } };
  const asked = await write({ bits: ['4-4-4'], methods: ['rtn'], statistics: true }, quick);
  const activationsOf = async () => {
    const [, cell] = await collectCells(asked);
    return (await openRun(cell!.run!)).readActivations();
  };
  await collect(runMatrix(asked, KERNELS));
  const { weights, ...older } = await activationsOf();
  assert.equal(weights?.length, older.sites.length, 'seven weights and seven tensors in each layer');
  const steps = join(folder, 'older-runs', '.steps');
  const isStatistics = (record: string) =>
    existsSync(record) && readFileSync(record, 'utf8').includes('"statistics"');
  const kept = readdirSync(steps).filter((name) => isStatistics(join(steps, name, 'step.json')));
  for (const name of kept) writeFileSync(join(steps, name, 'result.json'), JSON.stringify(older));
  for (const { run } of await collectCells(asked)) rmSync(run!, { recursive: true });
  const again = await collect(runMatrix(asked, KERNELS));
  assert.equal(phases(again.events, 'statistics'), 0);
  assert.deepEqual(await activationsOf(), older);
});

test('another text makes other cells, and leaves the runs of before', async () => {
  const small = { bits: ['4-4-4'], methods: ['rtn'] };
  const [, before] = await collectCells(await write(small));
  writeFileSync(join(folder, 'test.txt'), readFileSync(join(folder, 'test.txt'), 'utf8').slice(200));
  await collect(runMatrix(await write(small), KERNELS));
  const [, after] = await collectCells(await write(small));
  assert.notEqual(after?.run, before?.run);
  assert.notDeepEqual(after?.results?.perplexity, before?.results?.perplexity);
});

test('a cell that cannot be computed stays empty with its reason, and the others are filled', async () => {
  const groups = [{ name: 'groups', like: 'rtn', settings: { quantization: { weights: { groupSize: 7 } } } }];
  const matrix = { bits: ['4-4-4'], methods: ['rtn', 'groups'], rows: groups };
  const experiment = await write(matrix);
  const [{ message, range } = { message: '', range: null }] = experiment.source.warnings;
  assert.match(
    message,
    /^matrix\.rows\[0\]\.settings\.quantization\.weights\.groupSize: groups stays empty at 4-4-4/,
  );
  assert.equal(range?.length, '7'.length, 'the mark stands at the number');
  const { events: found, result } = await collect(runMatrix(experiment, KERNELS));
  assert.deepEqual(statesOf(found).at(-1), 'empty');
  assert.deepEqual(
    result.cells.map(({ status }) => status),
    ['finished', 'finished', 'empty'],
  );
});

test('a table is filled by one process at a time', async () => {
  const first = runMatrix(await write(MATRIX), KERNELS);
  await first.next();
  await assert.rejects(collect(runMatrix(await write(MATRIX), KERNELS)), { code: 'matrix/busy' });
  await first.return({ cells: [] });
});
