/** A run as an ONNX model through WebGPU, whose driver is software here, and on the processor. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { distance, size } from '../onnx-export/exported.ts';
import type { StockSteps } from './stock-steps.ts';
import { NO_SWIFTSHADER, programOn, swiftShader } from './swiftshader.ts';

const driver = swiftShader();
const skip = driver === null && NO_SWIFTSHADER;
const RUN = join(oldRunsFolder(), 'runs', '20261128T151219Z-gptq');

/** Sums of at most 48 products of float32 in another order, 48 · 2⁻²⁴ of their size, thrice behind each other in two layers. */
const ORDER = 2 * 3 * 48 * 2 ** -24;

let all: Promise<StockSteps> | null = null;
function steps(): Promise<StockSteps> {
  all ??= (async () => {
    const { code, stdout, stderr } = await programOn('stock-steps.ts', [RUN], driver!);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as StockSteps;
  })();
  return all;
}

test('SwiftShader runs four lanes together: attention of many tokens is found to be wrong', {
  skip,
}, async () => {
  assert.equal((await steps()).longestCall, 31);
});

test('a run on WebGPU is the same model as on the processor, and says what it is', { skip }, async (t) => {
  const { gpu, cpu, unrounded } = await steps();
  assert.deepEqual([gpu.device.kind, gpu.device.adapter], ['webgpu', 'SwiftShader (software)']);
  assert.equal(gpu.bits, 'W4A8KV16');
  assert.match(gpu.warnings.join('\n'), /On WebGPU this computes W4A8KV16 in the place of W4A4KV4/);
  assert.match(gpu.warnings.join('\n'), /no multiple of 128, here 32, 64, 48/);
  assert.doesNotMatch(cpu.warnings.join('\n'), /multiple of 128/);
  // At these widths the processor rounds activations, and WebGPU does not.
  const apart = distance(gpu.logits, unrounded.logits) / size(unrounded.logits);
  const rounding = distance(cpu.logits, unrounded.logits) / size(unrounded.logits);
  t.diagnostic(`${apart}, by rounding ${rounding}; losses ${gpu.loss}, ${unrounded.loss}`);
  assert.ok(apart < ORDER && rounding > ORDER, `${apart}, by rounding ${rounding}`);
  assert.ok(Math.abs(gpu.loss - unrounded.loss) < 2 * ORDER * size(unrounded.logits), `${gpu.loss}`);
  assert.deepEqual(gpu.ids, unrounded.ids);
});
