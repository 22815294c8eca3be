/** Keys that are quantized without their mean where the calibration text says so: what decides, who says it, who keeps it. */
import assert from 'node:assert/strict';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import {
  evaluateExperiment,
  inspectActivations,
  loadExperiment,
  optimizeRotation,
  previewSteps,
  runMatrix,
} from '../../src/engine/index.ts';
import { collectCells, openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { idsWrittenBy } from '../helpers/written-by-run.ts';

const folder = demoFolder();

type Offset = ResolvedExperiment['quantization']['keys']['offset'];

async function experiment(offset: Offset): Promise<ResolvedExperiment> {
  const short = await shortExperiment(folder, { weights: { method: 'rtn' } });
  const { quantization } = short;
  return { ...short, quantization: { ...quantization, keys: { ...quantization.keys, offset } } };
}

const details = (events: readonly { readonly type: string; readonly detail?: string }[]): string =>
  events.map(({ detail }) => detail ?? '').join('\n');

test('a plan says that it is open, a run what was chosen, and by which errors', async () => {
  const asked = await experiment('auto');
  const { statements } = (await collect(previewSteps(asked, 'optimize', {}))).result;
  const open = /^keys: quantized without their mean if that lowers their error on the calibration text/;
  assert.equal(statements.filter((statement) => open.test(statement)).length, 1, statements.join('\n'));
  const { result, events } = await collect(optimizeRotation(asked, {}));
  const chosen =
    /keys without their mean: chosen on the calibration text, [\d.]+ dB above the error of rounding on average over the layers, whole [\d.]+ dB/;
  assert.match(details(events), /keys: quantized without their mean on the calibration text/);
  assert.match(details(events), chosen);
  const run = await openRun(result.run);
  assert.equal((await run.readExperiment()).quantization.keys.offset, 'auto');
  const { keyOffset, perplexity } = await run.readResults();
  assert.equal(keyOffset?.taken, 'mean');
  assert.equal(keyOffset.rest, 'none');
  assert.deepEqual(
    perplexity,
    (await collect(optimizeRotation(await experiment('mean'), {}))).result.perplexity,
  );
  // The statistics of `inspect` sum the same errors in another program, its own kernels block by block.
  const { sites } = (await collect(inspectActivations(await experiment('mean'), { rotations: result.run })))
    .result;
  const keys = sites.filter(({ site }) => site === 'key');
  const mean = (of: (record: (typeof keys)[number]) => number | null | undefined): number =>
    keys.reduce((sum, record) => sum + (of(record) ?? Number.NaN), 0) / keys.length;
  assert.ok(Math.abs(mean(({ after }) => after.sqnrDb) - keyOffset.sqnrDb.mean) < 0.01);
  assert.ok(Math.abs(mean(({ offset }) => offset?.keptSqnrDb) - keyOffset.sqnrDb.rest) < 0.01);
  // The run keeps the choice: without its text it is measured, exported and writes as before.
  rmSync(join(folder, 'calibration.txt'));
  const again = await collect(evaluateExperiment(asked, { runDir: result.run, variants: ['quantized'] }));
  assert.doesNotMatch(details(again.events), /means of the keys/);
  assert.match(details(again.events), chosen);
  assert.equal(again.result.perplexity[0]?.quantized, perplexity[0]?.quantized);
  assert.equal((await idsWrittenBy(result.run, asked.runs)).length, 4);
});

test('in a table a row chooses for itself, and those that were published stay as they are', async () => {
  const own = demoFolder();
  const file = join(own, 'table.spinquant.json');
  const row = (name: string, like: string, offset: Offset) => {
    return { name, like, settings: { quantization: { keys: { offset } } } };
  };
  const rows = [
    row('auto', 'smoothquant', 'auto'),
    row('mean', 'smoothquant', 'mean'),
    row('blind', 'rtn', 'auto'),
  ];
  const text = {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 9, sequenceLength: 48 },
    scaling: { smoothquant: { samples: 4 } },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 64, maxWindows: 2 }] },
    matrix: { bits: ['16-16-4'], methods: ['smoothquant', 'rtn', ...rows.map(({ name }) => name)], rows },
  };
  writeFileSync(file, JSON.stringify(text));
  const asked = await loadExperiment(file, 'optimize');
  await collect(runMatrix(asked, {}));
  const cells = await collectCells(asked);
  const of = (method: string) => {
    const cell = cells.find((one) => one.method === method);
    assert.ok(cell?.run && cell.results, method);
    return { run: cell.run, ...cell.results };
  };
  const quantized = (method: string) => of(method).perplexity[0]?.quantized;
  assert.equal(of('auto').keyOffset?.taken, 'mean');
  assert.equal(quantized('auto'), quantized('mean'));
  assert.notEqual(quantized('auto'), quantized('smoothquant'));
  assert.equal(of('smoothquant').keyOffset, undefined);
  // Nothing else of this row reads the text: it keeps the rule of the bias.
  assert.equal(of('blind').keyOffset, undefined);
  assert.equal(quantized('blind'), quantized('rtn'));
  assert.ok(
    existsSync(join(of('auto').run, 'key-means.safetensors')),
    'the run of the cell writes without the text',
  );
  const states = (await collect(runMatrix(asked, {}))).events.flatMap((event) =>
    event.type === 'cell' ? event.state : [],
  );
  assert.deepEqual(new Set(states), new Set(['kept']));
});

test('runs of before take out the bias, and what is measured with their rotations does, too', async () => {
  const old = oldRunsFolder();
  const run = await openRun(join(old, 'runs', '20261128T151219Z-gptq'));
  assert.equal((await run.readExperiment()).quantization.keys.offset, 'bias');
  const asked = await resolveExperiment(join(old, 'gptq.spinquant.json'), 'evaluate');
  assert.equal(asked.quantization.keys.offset, 'auto');
  const options = { rotations: run.dir, kernels: 'composed' } as const;
  const { events, result } = await collect(evaluateExperiment(asked, options));
  assert.doesNotMatch(details(events), /means of the keys/);
  assert.equal(result.keyOffset, undefined);
});
