/** Cells of a table choose their exceptions as a run alone does; what they choose by is found once, and kept. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { matrixTable } from '../../src/cli/matrix-table.ts';
import type { Purpose, ResolvedExperiment } from '../../src/config/index.ts';
import {
  evaluateExperiment,
  exportModel,
  loadExperiment,
  optimizeRotation,
  previewCluster,
  previewMatrix,
  previewSteps,
  runMatrix,
  runTask,
  sweepShared,
} from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import {
  collectCells,
  formatMatrix,
  openRun,
  type TableCell,
  tableDocument,
  tableOf,
} from '../../src/runs/index.ts';
import { temporaryFolder } from '../formats/support.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const FILE = join(folder, 'mixed.spinquant.json');
const KERNELS = { kernels: 'composed' } as const;
const WEIGHTS = { gptq: { samples: 4 }, clip: false };
const LEARNING = { steps: 2, batchSize: 2 };
const BUDGET = { budget: 4.5 };
const WORST = { exceptions: [{ layers: 'worst:1', sites: 'down', activations: { bits: 8 } }] };

/** Rows with exceptions of their own beside the same ones without. */
const ROWS = [
  { name: 'budget', like: 'gptq', settings: { quantization: BUDGET } },
  { name: 'budget-rtn', like: 'rtn', settings: { quantization: BUDGET } },
  { name: 'worst', like: 'gptq', settings: { quantization: WORST } },
  { name: 'wider', like: 'gptq', settings: { quantization: { budget: 5 } } },
  { name: 'learned-worst', like: 'spinquant-had-gptq', settings: { quantization: WORST } },
  { name: 'peak-budget', like: 'peak-gptq', settings: { quantization: BUDGET } },
];

function write(more: object, purpose: Purpose = 'optimize'): Promise<ResolvedExperiment> {
  const text = {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 8, sequenceLength: 32 },
    rotation: { learning: LEARNING },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows: 2 }] },
    ...{ device: 'cpu', threads: 1, runs: 'mixed-runs' },
    ...more,
  };
  writeFileSync(FILE, JSON.stringify(text));
  return loadExperiment(FILE, purpose);
}

const table = (methods: readonly string[], more: object = {}) =>
  write({ quantization: { weights: WEIGHTS }, matrix: { bits: ['4-4-4'], methods, rows: ROWS }, ...more });

const attributions = (events: readonly RunEvent[]): number =>
  events.filter(
    (event) =>
      event.type === 'phase' && event.state === 'started' && event.detail?.startsWith('attribution') === true,
  ).length;

/** The settings of a row in an experiment without a table. */
function alone(rotation: object, own: object, purpose: Purpose): Promise<ResolvedExperiment> {
  // Rows of tables are without the bias unless they say more; the text of a run alone may choose the mean.
  const keys = { offset: 'bias' };
  const quantization = { ...own, keys, weights: { ...WEIGHTS, method: 'gptq' } };
  return write({ rotation: { learning: LEARNING, ...rotation }, quantization, runs: 'alone-runs' }, purpose);
}
const UNROTATED = { r1: 'none', r2: 'none', r3: false, r4: false };

const quantizedIn = (cell: TableCell | undefined) => cell?.results?.perplexity[0]?.quantized;
const runOf = (cell: TableCell | undefined) => openRun(cell!.run!);
const exceptionsOf = async (cell: TableCell | undefined) =>
  (await (await runOf(cell)).readExperiment()).quantization.exceptions;

async function cellsIn(experiment: ResolvedExperiment) {
  const cells = await collectCells(experiment);
  return (method: string) => cells.find((cell) => cell.method === method);
}

test('cells choose what the same experiments choose alone, from one attribution', async () => {
  const methods = ['gptq', 'budget', 'budget-rtn', 'worst'];
  const experiment = await table(methods);
  const before = (await collect(previewMatrix(experiment, KERNELS))).result;
  const [attribution] = before.steps.filter(({ name }) => name === 'attribution');
  assert.deepEqual([attribution?.cells, attribution?.isThere], [3, false]);
  assert.ok(attribution!.seconds > 0 && attribution!.peakBytes > 0);
  const statements = before.cells.map(({ exceptions }) => exceptions ?? '');
  assert.match(statements[2]!, /^chosen by an attribution first: 8 bits .* up to 4\.5 bits on average$/);
  assert.match(statements[4]!, /: activations 8 of down in the 1 layer where that costs most$/);
  assert.deepEqual([statements[0], statements[1]], ['', ''], 'full precision and the row without');

  assert.equal(attributions((await collect(runMatrix(experiment, KERNELS))).events), 1);
  const of = await cellsIn(experiment);
  for (const [method, own] of [
    ['budget', BUDGET],
    ['worst', WORST],
  ] as const) {
    const same = await alone(UNROTATED, own, 'evaluate');
    const { result } = await collect(evaluateExperiment(same, { ...KERNELS, variants: ['quantized'] }));
    assert.equal(quantizedIn(of(method)), result.perplexity[0]?.quantized, method);
  }
  assert.notEqual(quantizedIn(of('budget')), quantizedIn(of('gptq')));
  assert.deepEqual(await exceptionsOf(of('budget')), await exceptionsOf(of('budget-rtn')));
  assert.equal((await exceptionsOf(of('worst')))?.[0]?.layers.length, 1);
  assert.equal((await runOf(of('worst'))).record.bits, 'W4A4KV4 mixed');
  assert.equal((await runOf(of('fp'))).record.bits, 'W16A16KV16');

  const shown = tableOf(await collectCells(experiment));
  const row = shown.rows.find(({ method }) => method === 'budget')!;
  const { mixed = null } = row.cells[0] ?? {};
  assert.ok(mixed && mixed.uniform === 4 && mixed.mixed > 4 && mixed.mixed <= 4.5);
  const [note] = tableDocument(shown).notes.filter((one) => one.startsWith('budget at 4-4-4: 4.'));
  assert.ok(mixed.exceptions.length > 0 && mixed.exceptions.every((line) => note?.includes(line)));
  assert.match(matrixTable(shown), new RegExp(`4-4-4 +${mixed.mixed.toFixed(3)} +budget `));
  assert.match(formatMatrix(shown, 'csv').split('\r\n')[0]!, /,averageBits,exceptions$/);

  const after = (await collect(previewMatrix(await table(methods), KERNELS))).result;
  assert.deepEqual(
    after.steps.filter(({ isThere }) => !isThere),
    [],
  );
  assert.match(after.cells[2]?.exceptions ?? '', /^4\.\d{3} bits on average: .* 8 .*in layer/);
});

test('the plan of a run alone has the attribution, with its time and memory', async () => {
  const asked = await alone(UNROTATED, BUDGET, 'evaluate');
  const { steps, exceptions } = (await collect(previewSteps(asked, 'evaluate', KERNELS))).result;
  const [own] = steps.filter(({ name }) => name === 'attribution');
  assert.ok(own && (own.seconds ?? 0) > 0 && (own.peakBytes ?? 0) > 0);
  assert.match(exceptions ?? '', /^chosen by an attribution first: .* up to 4\.5 bits on average$/);
  const named = await alone(UNROTATED, { exceptions: [{ layers: [0], keys: { bits: 8 } }] }, 'evaluate');
  const { result } = await collect(previewSteps(named, 'evaluate', KERNELS));
  assert.match(result.exceptions ?? '', /^4\.\d{3} bits on average: keys 8 in layer 0$/);
});

test('learning in a cell has its exceptions, and learning of captured activations is shared with other cells', async () => {
  const experiment = await table(['peak-gptq', 'peak-budget', 'learned-worst']);
  const { events } = await collect(runMatrix(experiment, KERNELS));
  const learned = events.filter(
    (event) => event.type === 'phase' && event.phase === 'learn' && event.state === 'started',
  );
  assert.equal(learned.length, 2, 'once on captured activations, once through the network');
  const same = await alone({ r1: 'learned', r2: 'learned' }, WORST, 'optimize');
  const { result } = await collect(optimizeRotation(same, KERNELS));
  const cell = (await cellsIn(experiment))('learned-worst');
  assert.equal(quantizedIn(cell), result.perplexity[0]?.quantized);
  assert.deepEqual(cell?.results?.loss, result.loss);
});

test('a table that was stopped goes on with what was chosen, and another budget chooses anew from the same', async () => {
  const runs = { runs: 'stopped-runs' };
  const experiment = await table(['budget'], runs);
  const stopping = runMatrix(experiment, KERNELS);
  // Stopped as soon as the attribution is kept, before the cell has a run.
  for await (const event of stopping)
    if (event.type === 'phase' && event.detail?.includes('bits on average')) break;
  const { events } = await collect(runMatrix(experiment, KERNELS));
  assert.equal(attributions(events), 0);
  const finished = (await cellsIn(experiment))('budget');
  assert.equal(quantizedIn(finished), quantizedIn((await cellsIn(await table(['budget'])))('budget')));

  // A run that was stopped has what it chose, also where the attribution is gone.
  const run = await runOf(finished);
  const record = JSON.parse(readFileSync(run.path('run'), 'utf8')) as object;
  writeFileSync(run.path('run'), JSON.stringify({ ...record, status: 'paused' }));
  rmSync(join(folder, 'stopped-runs', '.steps'), { recursive: true });
  const again = await collect(runMatrix(experiment, KERNELS));
  assert.equal(attributions(again.events), 0);
  const resumed = (await cellsIn(experiment))('budget');
  assert.deepEqual([resumed?.run, quantizedIn(resumed)], [finished?.run, quantizedIn(finished)]);

  const wider = await table(['wider'], runs);
  const { result } = await collect(previewMatrix(wider, KERNELS));
  assert.equal(result.steps.find(({ name }) => name === 'attribution')?.isThere, false);
  await collect(runMatrix(wider, KERNELS));
  const { events: narrower } = await collect(runMatrix(await table(['budget', 'worst'], runs), KERNELS));
  assert.equal(attributions(narrower), 0);
});

test('what a cell chose by is kept while its run is there', async () => {
  const experiment = await table(['budget'], { runs: 'swept-runs' });
  await collect(runMatrix(experiment, KERNELS));
  const { results } = await sweepShared(experiment.runs);
  assert.equal(results.find(({ step }) => step === 'attribution')?.usedBy, 1);
  const { run } = (await cellsIn(experiment))('budget')!;
  rmSync(run!, { recursive: true });
  assert.equal(attributions((await collect(runMatrix(experiment, KERNELS))).events), 0);
});

test('jobs of a cluster choose once, and fill the table with the same numbers', async () => {
  const cluster = { scheduler: 'slurm', cpus: 1 };
  const experiment = await table(['budget', 'worst'], { runs: 'cluster-runs', cluster });
  const counts: number[] = [];
  for (let arrays = 0; arrays < 9; arrays++) {
    const options = { ...KERNELS, program: ['spinquant'] };
    const { jobs, script } = (await collect(previewCluster(experiment, experiment.cluster!, options))).result;
    if (jobs.length === 0) break;
    if (arrays === 0) assert.match(jobs.join('\n'), /: attribution, .*perplexity/);
    const tasks = [...script.matchAll(/--cell (\w+)(?: --step (\w+))?'/g)];
    assert.equal(tasks.length, jobs.length);
    for (const [, cell = '', step = null] of tasks) {
      const request = { cell, step, job: null, version: null };
      const { events } = await collect(runTask(experiment, request, KERNELS));
      counts.push(attributions(events));
    }
  }
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    1,
  );
  const [own, local] = [await cellsIn(experiment), await cellsIn(await table(['budget', 'worst']))];
  for (const method of ['fp', 'budget', 'worst']) {
    assert.equal(own(method)?.status, 'finished', method);
    assert.deepEqual(quantizedIn(own(method)), quantizedIn(local(method)));
  }
});

test('the run of a cell is exported, and measured again, with what it chose', async (t) => {
  const experiment = await table(['budget']);
  const cell = (await cellsIn(experiment))('budget');
  const from = { run: cell!.run! };
  const out = join(temporaryFolder(t), 'out');
  const request = { from, format: 'onnx', target: 'stock', out, embeddings: 16, head: 16 } as const;
  const { result } = await collect(exportModel(request, KERNELS));
  assert.equal(result.bits, 'W4A4KV4 mixed');
  const settings = await (await runOf(cell)).readExperiment();
  const options = { ...KERNELS, runDir: cell!.run!, variants: ['quantized'] } as const;
  const again = await collect(evaluateExperiment(settings, options));
  assert.equal(again.result.perplexity[0]?.quantized, quantizedIn(cell));
});
