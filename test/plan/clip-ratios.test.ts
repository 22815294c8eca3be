/** Searched clip ratios in runs: found once, kept, and read again without the text that they are of. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseExperiment, type Quantization, type ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, optimizeRotation } from '../../src/engine/index.ts';
import { withClips } from '../../src/engine/network/site-clips.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { TINY_CONFIG, tinyQuantizers } from '../helpers/tiny-network.ts';
import { idsWrittenBy } from '../helpers/written-by-run.ts';

const folder = demoFolder();

async function experiment(activations: Partial<Quantization['activations']>): Promise<ResolvedExperiment> {
  const short = await shortExperiment(folder, { weights: { method: 'gptq' } });
  const { quantization } = short;
  const { weights } = quantization;
  const own = {
    weights: { ...weights, gptq: { ...weights.gptq, inputs: 'quantized' as const } },
    activations: { ...quantization.activations, ...activations },
  };
  return { ...short, quantization: { ...quantization, ...own } };
}

const details = (events: readonly { readonly type: string; readonly detail?: string }[]): string =>
  events.map(({ detail }) => detail ?? '').join('\n');

test('a run keeps its ratios, and writes and is measured without their text', async () => {
  const asked = await experiment({ bits: 3, clipRatio: 'searched' });
  const { result, events } = await collect(optimizeRotation(asked, {}));
  assert.match(details(events), /clip ratios/);
  const run = await openRun(result.run);
  const { layers } = JSON.parse(readFileSync(run.path('clipRatios'), 'utf8'));
  for (const layer of layers) {
    const sites = Object.keys(layer);
    assert.deepEqual(sites, ['attention-input', 'o-input', 'mlp-input', 'down-input']);
    for (const { ratio, share } of Object.values<{ ratio: number; share: number }>(layer))
      assert.ok(ratio >= 0.5 && ratio <= 1 && share > 0 && share <= 1);
  }
  const again = await collect(evaluateExperiment(asked, { runDir: result.run, variants: ['quantized'] }));
  assert.doesNotMatch(details(again.events), /clip ratios/);
  assert.equal(again.result.perplexity[0]!.quantized, result.perplexity[0]!.quantized);
  rmSync(join(folder, 'calibration.txt'));
  assert.equal((await idsWrittenBy(result.run, asked.runs)).length, 4);
});

test('each layer has the quantizers of its ratios', () => {
  const quantizers = tinyQuantizers(TINY_CONFIG, 4);
  const { input, downInput, keys } = quantizers;
  const clips = [{ 'attention-input': 0.9, 'mlp-input': 0.9, key: 0.8 }, { 'mlp-input': 0.7 }, {}];
  const { exceptions, quantizers: others } = withClips({ quantizers }, clips);
  assert.equal(others, quantizers);
  assert.deepEqual(exceptions?.get(0), {
    ...quantizers,
    ...{ input: { ...input, clipRatio: 0.9 }, keys: { ...keys, clipRatio: 0.8 } },
  });
  assert.deepEqual(exceptions?.get(1), { ...quantizers, gateUpInput: { ...input, clipRatio: 0.7 } });
  assert.equal(exceptions?.has(2), false);
  assert.equal(downInput.clipRatio, 1);
});

test('a search needs a text, and weights that are not trained on other ratios', () => {
  const faults = (more: object): string[] => {
    const quantization = { keys: { clipRatio: 'searched' } };
    return parseExperiment(JSON.stringify({ model: 'm', quantization, ...more }), 'f').faults.map(
      ({ code }) => code,
    );
  };
  assert.ok(faults({ rotation: { r1: 'hadamard' } }).includes('config/no-calibration-text'));
  assert.ok(
    faults({ calibration: { text: 'x' }, training: { method: 'llm-qat' } }).includes('config/clip-training'),
  );
  assert.deepEqual(
    parseExperiment(
      JSON.stringify({ model: 'm', quantization: { keys: { clipRatio: 'found' } } }),
      'f',
    ).faults.filter(({ severity }) => severity === 'error').length > 0,
    true,
  );
});
