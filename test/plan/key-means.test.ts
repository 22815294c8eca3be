/** Means of keys in runs: taken once, kept, and read again without the text that they are of. */
import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, optimizeRotation } from '../../src/engine/index.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { idsWrittenBy } from '../helpers/written-by-run.ts';

const folder = demoFolder();

async function experiment(keys: object): Promise<ResolvedExperiment> {
  const short = await shortExperiment(folder, { weights: { method: 'rtn' } });
  const { quantization } = short;
  return { ...short, quantization: { ...quantization, keys: { ...quantization.keys, ...keys } } };
}

const phases = (events: readonly { readonly type: string; readonly detail?: string }[]): string =>
  events.map(({ detail }) => detail ?? '').join('\n');

test('keys of 3 bits without their mean are nearer to full precision', async () => {
  const rotation = { r1: 'hadamard', r2: 'hadamard' } as const;
  const measured = async (offset: 'bias' | 'mean') => {
    const asked = await experiment({ bits: 3, offset });
    const { weights, activations, values } = asked.quantization;
    const quantization = {
      ...asked.quantization,
      ...{ weights: { ...weights, bits: 16 as const }, activations: { ...activations, bits: 16 as const } },
      values: { ...values, bits: 16 as const },
    };
    const texts = asked.evaluation.perplexity.map((one) => ({ ...one, sequenceLength: 128, maxWindows: 48 }));
    const evaluation = { ...asked.evaluation, perplexity: texts };
    const bare = { ...asked, quantization, evaluation, rotation: { ...asked.rotation, ...rotation } };
    const [text] = (await collect(evaluateExperiment(bare, {}))).result.perplexity;
    return text!.quantized! - text!.fullPrecision!;
  };
  const [with_, without] = [await measured('bias'), await measured('mean')];
  assert.ok(Math.abs(without) < with_ / 2, `${without} for ${with_}`);
});

test('a run keeps its means, and writes and is measured without their text', async () => {
  const asked = await experiment({ offset: 'mean' });
  const { result, events } = await collect(optimizeRotation(asked, {}));
  assert.match(phases(events), /means of the keys[\s\S]*keys: quantized without their mean/);
  const run = await openRun(result.run);
  assert.ok(existsSync(run.path('keyMeans')));
  const again = await collect(evaluateExperiment(asked, { runDir: result.run, variants: ['quantized'] }));
  assert.doesNotMatch(phases(again.events), /means of the keys/);
  assert.equal(again.result.perplexity[0]!.quantized, result.perplexity[0]!.quantized);
  rmSync(join(folder, 'calibration.txt'));
  assert.equal((await idsWrittenBy(result.run, asked.runs)).length, 4);
});
