/** Where the loss of real models goes: estimates against measurements, and what is kept of them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { attributionText } from '../../src/cli/attribution-table.ts';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { attributeAndKeep } from '../../src/engine/index.ts';
import { importLlama2c } from '../../src/engine/model/import-llama2c.ts';
import { measureOf, sumOf, sumsByLayer, sumsByPart } from '../../src/protocol/attribution-sums.ts';
import { type AttributionFile, correlations, openRun, readAttribution } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';

const folder = demoFolder();

async function experiment(changes: Partial<ResolvedExperiment> = {}): Promise<ResolvedExperiment> {
  const rotation = { r1: 'hadamard', r2: 'hadamard' } as const;
  const short = await shortExperiment(folder, { rotation, weights: { method: 'rtn' } });
  return { ...short, calibration: { ...short.calibration, samples: 64, sequenceLength: 128 }, ...changes };
}

/** Whole, sums and order of the estimates are those of the measurements, as far as a short text shows. */
function agrees(file: AttributionFile): void {
  const { cells, loss } = file;
  const whole = loss.quantized - loss.fullPrecision;
  assert.ok(whole > 0);
  const shares = sumOf(cells, 'share') / whole;
  assert.ok(shares > 0.85 && shares < 1.15, `shares are ${shares} of the whole`);
  const of = (measure: Parameters<typeof measureOf>[1]) => cells.map((cell) => measureOf(cell, measure));
  const rise = correlations(of('rise'), of('measured rise'));
  const fall = correlations(of('share'), of('measured fall'));
  assert.ok(rise.linear > 0.85 && rise.rank > 0.8, `rise: ${rise.linear}, ranks ${rise.rank}`);
  assert.ok(fall.linear > 0.7, `fall: ${fall.linear}`);
}

test('the demo: estimates agree with measurements, and the run keeps both', async () => {
  const asked = await experiment();
  const { result } = await collect(attributeAndKeep(asked, null, { exact: true, tokens: 4096 }));
  const { run, ...file } = result;
  assert.deepEqual(await readAttribution((await openRun(run)).path('attribution')), file);
  assert.equal(file.tokens, 32 * 127);
  assert.equal(file.cells.length % 13, 0);
  agrees(file);
  const byPart = sumsByPart(file, 'rise').reduce((all, { sum }) => all + sum, 0);
  const byLayer = sumsByLayer(file, 'rise').reduce((all, sum) => all + sum, 0);
  assert.ok(Math.abs(byPart - byLayer) < 1e-9 && Math.abs(byPart - sumOf(file.cells, 'rise')) < 1e-9);
  const text = attributionText(file);
  assert.match(text, /layer {2}qkv in/);
  assert.match(text, /rise, measured rise +\d\.\d{3}/);
});

test('weights that no run has rounded are rounded to nearest, which is said', async () => {
  const asked = await experiment();
  const weights = { ...asked.quantization.weights, method: 'gptq' } as const;
  const gptq = { ...asked, quantization: { ...asked.quantization, weights } };
  const { result, events } = await collect(attributeAndKeep(gptq, null, { tokens: 256 }));
  assert.equal(result.weights, 'rtn');
  assert.ok(result.cells.every(({ measured }) => measured === undefined));
  const warnings = events.flatMap((event) => (event.type === 'warning' ? event.message : []));
  assert.match(warnings.join(), /No run has weights rounded by GPTQ/);
});

const STORIES = join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'models', 'stories260K');

test('stories260K: estimates agree with measurements', {
  skip: !existsSync(STORIES) && 'the model is not at hand',
}, async () => {
  const model = join(folder, 'stories260K');
  const [checkpoint, tokenizer] = ['stories260K.bin', 'tok512.bin'].map((name) => join(STORIES, name)) as [
    string,
    string,
  ];
  await importLlama2c({ checkpoint, tokenizer, out: model });
  const asked = await experiment({ model });
  agrees((await collect(attributeAndKeep(asked, null, { exact: true, tokens: 4096 }))).result);
});
