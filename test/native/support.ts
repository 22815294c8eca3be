/** The addon, random data and comparisons for the tests of native operators. */
import assert from 'node:assert/strict';
import { type Addon, loadAddon, type ProbeTensor } from '../../src/engine/runtime/addon.ts';
import type { DType } from '../../src/protocol/tensor.ts';
import { hostAddon } from './host/host-addon.ts';

const own = loadAddon();
/** The addon, or what takes its place in a process that tests bodies for another processor. */
export const addon: Addon | undefined = hostAddon(own) ?? own;
/** Why tests of native operators cannot run here, or false. */
export const notBuilt = addon === undefined ? 'the native operators are not built' : false;
/** True where `npm run test:native:asan` runs the tests: freed memory is kept for a while, to find its use. */
export const sanitized = process.env.SPINQUANT_SANITIZED === '1';
/** Why tests that measure memory cannot run here, or false. */
export const cannotMeasure = notBuilt || (sanitized && 'a sanitizer keeps freed memory');

/** The addon describes an operator so (native-kernels/addon/probe.h). */
export interface NativeOperator {
  readonly name: string;
  readonly inputs: readonly { readonly type: DType; readonly optional: boolean }[];
  /** `mayReuse` is the input whose memory the output may take over, or -1. */
  readonly outputs: readonly { readonly type: DType; readonly mayReuse: number }[];
}

/** Lists every native operator, and none where the addon is not built. */
export function nativeOperators(): readonly NativeOperator[] {
  return (addon as (Addon & { operatorTypes(): NativeOperator[] }) | undefined)?.operatorTypes() ?? [];
}

/** Half a unit in the last place of 1 in float32: the largest relative error of one rounding. */
export const ROUNDING = 2 ** -24;
/** Relative error that the vectorised exponential may have. */
export const EXP_ERROR = 4e-7;

/** Uniform in [-1, 1) times `scale`, the same for the same seed (mulberry32). */
export function random(count: number, seed: number, scale = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  });
}

export const absolute = (x: Float32Array): Float32Array => x.map(Math.abs);

/** The upper halves of float32 numbers: bfloat16 numbers that are not larger. */
export const bfloat16 = (values: Float32Array): Uint16Array =>
  Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);

/** Rows that have caused trouble: zeros, one value, both signs of zero, exact ties, very small, very uneven. */
export function difficultRows(width: number, rows: number): Float32Array {
  const x = random(rows * width, width + rows, 3);
  const special: ((i: number) => number)[] = [
    () => 0,
    () => 0.7,
    () => -0.25,
    (i) => (i % 2 ? -0 : 0),
    (i) => (i % 16) - 7.5,
    (i) => ((i % 29) - 14) / 2,
    (i) => 1e-42 * (i % 5),
    (i) => (i === 0 ? 1e30 : 1e-3 * i),
  ];
  // Every third row, when there are enough of them.
  for (let row = 1; row < rows; row += 3) {
    const fill = special[((row - 1) / 3) % special.length]!;
    for (let i = 0; i < width; i++) x[row * width + i] = fill(i);
  }
  return x;
}

export interface Operation {
  readonly name: string;
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly (ProbeTensor | null)[];
  /** Number of elements of each output. */
  readonly outputs: readonly number[];
}

/** Outputs of one operator; every element starts as NaN, so that one left out is seen. */
export function runOperator(operation: Operation, instructionSet: string, threads = 1): Float32Array[] {
  const outputs = operation.outputs.map((count) => new Float32Array(count).fill(Number.NaN));
  const { name, attributes, inputs } = operation;
  addon!.runOperator(name, instructionSet, attributes, inputs, outputs, threads, 1);
  return outputs;
}

/** Fails unless each element is within its tolerance of the expected one. */
export function assertClose(
  actual: Float32Array,
  expected: Float32Array,
  tolerance: (index: number) => number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    const error = Math.abs(value - expected[i]!);
    if (!(error <= tolerance(i))) {
      assert.fail(`${what}: element ${i} is ${value}, expected ${expected[i]} ± ${tolerance(i)}`);
    }
  });
}

/** Fails unless all bits are equal (so that -0 and 0 differ). */
export function assertSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(actual.length, expected.length, what);
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const b = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  a.forEach((bits, i) => {
    if (bits !== b[i]) assert.fail(`${what}: element ${i} is ${actual[i]}, expected ${expected[i]}`);
  });
}

/** Runs `body` for every instruction set of this processor on one thread and on two. */
export function forEachVariant(body: (instructionSet: string, threads: number) => void): void {
  for (const instructionSet of addon!.instructionSets())
    for (const threads of [1, 2]) body(instructionSet, threads);
}
