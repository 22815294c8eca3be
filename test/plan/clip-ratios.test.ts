/** Clip ratios of sites in runs, searched and learned: found once, kept, and read again without the text that they are of. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseExperiment, type Quantization, type ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, optimizeRotation, previewSteps } from '../../src/engine/index.ts';
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

test('learning through the network sees the ratios that its start asks for, and no others do', async () => {
  const whole = await experiment({ bits: 3, clipRatio: 1 });
  const searched = await experiment({ bits: 3, clipRatio: 'searched' });
  const stepsOf = async (asked: ResolvedExperiment): Promise<string[]> => {
    const names = (await collect(previewSteps(asked, 'optimize', {}))).result.steps.map(({ name }) => name);
    return names.filter((name) => name === 'learn' || name === 'clip-search');
  };
  assert.deepEqual(await stepsOf(searched), ['clip-search', 'learn', 'clip-search']);
  assert.deepEqual(await stepsOf(whole), ['learn']);
  const { rotation } = searched;
  const captured = { ...rotation, learning: { ...rotation.learning, objective: 'peak' as const } };
  assert.deepEqual(await stepsOf({ ...searched, rotation: captured }), ['learn', 'clip-search']);
  const firstLoss = async ({ rotation: own, ...asked }: ResolvedExperiment): Promise<number> => {
    const short = { ...own, learning: { ...own.learning, steps: 1 } };
    const { result } = await collect(optimizeRotation({ ...asked, rotation: short }, {}));
    return result.loss.first;
  };
  // Of the same rotations and tokens: at 3 bits whole ranges cost more.
  const [with_, without] = [await firstLoss(searched), await firstLoss(whole)];
  assert.ok(with_ < without, `${with_} for ${without}`);
});

test('ratios are searched, then learned from where that was stopped, and a run needs their text no more', async () => {
  const asked = await experiment({ bits: 3, clipRatio: 'learned' });
  const stop = new AbortController();
  const shares: number[] = [];
  const started: { run?: string } = {};
  await assert.rejects(async () => {
    for await (const event of optimizeRotation(asked, { signal: stop.signal })) {
      if (event.type === 'run-started') started.run = event.run!;
      if (event.type !== 'rounding-progress' || event.method !== 'clip-learning') continue;
      shares.push(event.done);
      if (shares.length === 3) stop.abort();
    }
  });
  const { result, events } = await collect(optimizeRotation(asked, { resumeFrom: started.run! }));
  const later = events.flatMap((event) =>
    event.type === 'rounding-progress' && event.method === 'clip-learning' ? [event.done] : [],
  );
  assert.ok(later[0]! > shares.at(-1)!, `${later[0]} behind ${shares}`);
  const run = await openRun(result.run);
  const searched = JSON.parse(readFileSync(run.path('clipRatios'), 'utf8'));
  for (const layer of searched.layers) {
    assert.deepEqual(Object.keys(layer), ['attention-input', 'o-input', 'mlp-input', 'down-input']);
    for (const { ratio, share } of Object.values<{ ratio: number; share: number }>(layer))
      assert.ok(ratio >= 0.5 && ratio <= 1 && share > 0 && share <= 1);
  }
  const before = JSON.parse(readFileSync(run.path('startClips'), 'utf8'));
  assert.equal(before.layers.length, searched.layers.length);
  assert.notEqual(before.key, searched.key);
  const { layers, state } = JSON.parse(readFileSync(run.path('learnedClips'), 'utf8'));
  assert.equal(state, undefined);
  for (const layer of layers)
    for (const { ratio, lower } of Object.values<{ ratio: number; lower: number }>(layer))
      assert.ok(ratio >= 0.5 && ratio <= 1 && lower >= 0.5 && lower <= 1 && ratio !== lower);
  const again = await collect(evaluateExperiment(asked, { runDir: result.run, variants: ['quantized'] }));
  assert.doesNotMatch(details(again.events), /clip ratios/);
  assert.equal(again.result.perplexity[0]!.quantized, result.perplexity[0]!.quantized);
  rmSync(join(folder, 'calibration.txt'));
  assert.equal((await idsWrittenBy(result.run, asked.runs)).length, 4);
});

test('each layer has the quantizers of its ratios', () => {
  const quantizers = tinyQuantizers(TINY_CONFIG, 4);
  const { input, downInput, keys, values } = quantizers;
  const both = { upper: 0.9, lower: 0.8 };
  const clips = [
    { 'attention-input': 0.9, 'mlp-input': 0.9, key: 0.8, value: both },
    { 'mlp-input': 0.7 },
    {},
  ];
  const { exceptions, quantizers: others } = withClips({ quantizers }, clips);
  assert.equal(others, quantizers);
  assert.deepEqual(exceptions?.get(0), {
    ...quantizers,
    ...{ input: { ...input, clipRatio: 0.9 }, keys: { ...keys, clipRatio: 0.8 } },
    values: { ...values, clipRatio: 0.9, lowerRatio: 0.8 },
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
