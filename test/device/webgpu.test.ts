/** The same tiny network on the processor and through WebGPU, whose driver is software here: only speed differs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_SWIFTSHADER, swiftShader, tinySteps } from './swiftshader.ts';
import type { TinyCase, TinySteps } from './tiny-steps.ts';

const EPSILON = 2 ** -23;
const driver = swiftShader();
const skip = driver === null && NO_SWIFTSHADER;

async function steps(device: string): Promise<TinySteps> {
  const { code, stdout, stderr } = await tinySteps(device, driver!);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as TinySteps;
}

let both: Promise<readonly [TinySteps, TinySteps]> | null = null;
function onBoth(): Promise<readonly [TinySteps, TinySteps]> {
  both ??= (async () => [await steps('auto'), await steps('webgpu')] as const)();
  return both;
}

test('webgpu runs every graph as a whole, and says on what; auto prefers the processor', {
  skip,
}, async () => {
  const [cpu, gpu] = await onBoth();
  assert.deepEqual(gpu.device, {
    kind: 'webgpu',
    executionProvider: 'WebGpuExecutionProvider',
    adapter: 'SwiftShader (software)',
    reason: null,
  });
  assert.match(gpu.description, /^onnxruntime [\d.]+, WebGPU on SwiftShader \(software\), composed kernels/);
  assert.deepEqual(cpu.device, {
    kind: 'cpu',
    executionProvider: 'CPUExecutionProvider',
    adapter: null,
    reason: 'auto: cpu, composed kernels; the only WebGPU adapter, SwiftShader, is software',
  });
});

test('quantizers give the same bits on both', { skip }, async () => {
  const [cpu, gpu] = await onBoth();
  // A GPU may give the other zero; both are zero.
  const numbers = (all: TinySteps['quantized'][string]) => all.map((value) => value + 0);
  for (const [name, expected] of Object.entries(cpu.quantized))
    assert.deepEqual(numbers(gpu.quantized[name]!), numbers(expected), name);
});

/** ‖a − b‖/‖b‖ */
function relative(a: readonly number[], b: readonly number[]): number {
  assert.equal(a.length, b.length);
  const norm = (values: readonly number[]) =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

function near(gpu: TinyCase, cpu: TinyCase, bound: number, name: string): void {
  for (const key of ['r1', 'r2', 'next'] as const) {
    assert.ok(
      cpu[key].some((value) => Math.abs(value) > 1e-3),
      `${key} vanishes`,
    );
    const found = relative(gpu[key], cpu[key]);
    assert.ok(found <= bound, `${name}: ${key} differs by ${found}, allowed ${bound}`);
  }
  for (const [a, b] of [
    [gpu.loss, cpu.loss],
    [Math.log(gpu.perplexity), Math.log(cpu.perplexity)],
  ] as const)
    assert.ok(Math.abs(a - b) <= bound * b, `${name}: ${a} against ${b}, allowed ${bound * b}`);
}

// Two layers of seven products and two of attention, and the head: 19 forward, each twice more backward. Every one
// sums up to 64 terms in an order of its own, which differs by ε√64 of its size.
const ROUNDING = 3 * 19 * 8 * EPSILON;

test('loss, gradients, a step and perplexity agree up to rounding', { skip }, async () => {
  const [cpu, gpu] = await onBoth();
  const name = 'merged, 16 bits';
  near(gpu.cases[name]!, cpu.cases[name]!, ROUNDING, name);
});

test('at 4 bits they agree up to one code that rounding flips', { skip }, async () => {
  const [cpu, gpu] = await onBoth();
  // A flipped code moves one of a token's 32 channels by a fifteenth of a range of about six deviations: 6/15/√32 = 0.07
  // of that token, which is one of the 24 that gradients sum over.
  const flip = 6 / 15 / Math.sqrt(32) / Math.sqrt(24);
  for (const name of ['merged, 4 bits', 'unrotated, 4 bits'])
    near(gpu.cases[name]!, cpu.cases[name]!, flip + ROUNDING, name);
});

test('GPTQ errs alike on both', { skip }, async () => {
  const [cpu, gpu] = await onBoth();
  assert.equal(gpu.rounding.length, cpu.rounding.length);
  for (const [index, { linear, error, nearest }] of cpu.rounding.entries()) {
    const found = gpu.rounding[index]!;
    assert.equal(found.linear, linear);
    assert.ok(error < nearest);
    // Weights that rounding takes to the other code lie half way between two, which are as good as each other.
    for (const [a, b] of [
      [found.error, error],
      [found.nearest, nearest],
    ] as const)
      assert.ok(Math.abs(a / b - 1) < 0.02, `${linear}: ${a} against ${b}`);
  }
});
