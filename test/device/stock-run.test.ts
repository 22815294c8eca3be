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
  // The order of sums takes a few activations to the next code: less than rounding all of them does.
  const [apart, rounding] = [distance(gpu.logits, cpu.logits), distance(cpu.logits, unrounded.logits)];
  t.diagnostic(`${apart}, by rounding ${rounding}, of ${size(cpu.logits)}; losses ${gpu.loss}, ${cpu.loss}`);
  assert.ok(apart < rounding, `${apart}, by rounding ${rounding}`);
  assert.ok(rounding > 0 && rounding < 0.1 * size(cpu.logits), 'rounding to 8 bits is little');
  assert.equal(gpu.ids.length, 2);
  assert.ok(Math.abs(gpu.loss - cpu.loss) < 0.01 * cpu.loss, `${gpu.loss} for ${cpu.loss}`);
});
