/** Attention over a cache of IEEE halves, against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { float16ToFloat32, float32ToFloat16 } from '../../src/formats/float-bits.ts';
import type { Shape } from './packed-calls.ts';
import { assertRefused, type Given, givenCache, SMALL_CACHE } from './plain-calls.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  EXP_ERROR,
  forEachVariant,
  notBuilt,
  ROUNDING,
  runOperator,
} from './support.ts';

const SHAPES: readonly Shape[] = [
  { groups: 1, repeats: 1, rows: 1, capacity: 1, length: 0, width: 1, window: 0 },
  { groups: 3, repeats: 2, rows: 1, capacity: 20, length: 20, width: 8, window: 0 },
  // Several chunks of 512 tokens, and steps that are not full.
  { groups: 2, repeats: 3, rows: 1, capacity: 1300, length: 1203, width: 64, window: 0 },
  { groups: 2, repeats: 4, rows: 7, capacity: 90, length: 66, width: 33, window: 0 },
  { groups: 1, repeats: 5, rows: 3, capacity: 700, length: 600, width: 20, window: 0 },
  { groups: 1, repeats: 17, rows: 2, capacity: 9, length: 5, width: 40, window: 0 },
  // A prompt of its own: more rows than a unit has, and more tokens than a step.
  { groups: 2, repeats: 3, rows: 150, capacity: 160, length: 0, width: 16, window: 0 },
  // Windows that end among the new tokens, at the first of them, in the cache, and behind a chunk.
  { groups: 2, repeats: 1, rows: 9, capacity: 40, length: 13, width: 12, window: 4 },
  { groups: 1, repeats: 2, rows: 1, capacity: 40, length: 13, width: 80, window: 1 },
  { groups: 2, repeats: 2, rows: 40, capacity: 150, length: 140, width: 16, window: 70 },
  { groups: 1, repeats: 2, rows: 2, capacity: 1200, length: 1100, width: 24, window: 300 },
];

const given = (shape: Shape): Given => givenCache(shape, float32ToFloat16, 0x7e00);

interface Found {
  readonly mixed: Float32Array;
  readonly keys: Uint16Array;
  readonly values: Uint16Array;
}

function run({ attributes, inputs }: Given, isa: string, threads = 1): Found {
  const [q, k] = inputs as [ProbeTensor, ProbeTensor];
  const found = {
    mixed: new Float32Array(q.data.length).fill(Number.NaN),
    keys: new Uint16Array(k.data.length).fill(0x7e00),
    values: new Uint16Array(k.data.length).fill(0x7e00),
  };
  const outputs = [found.mixed, found.keys, found.values];
  addon!.runOperator('HalfAttention', isa, attributes, inputs, outputs, threads, 1);
  return found;
}

/** The same of the numbers that halves stand for. */
function overNumbers({ attributes, inputs }: Given): Float32Array {
  const widened = inputs.map(({ data, dims }, index): ProbeTensor => {
    if (data instanceof Uint16Array) return { data: float16ToFloat32(data), dims };
    const isOwn = index === 1 || index === 2;
    return { data: isOwn ? float16ToFloat32(float32ToFloat16(data as Float32Array)) : data, dims };
  });
  const outputs = [inputs[0]!.data.length];
  return runOperator({ name: 'CachedAttention', attributes, inputs: widened, outputs }, 'reference')[0]!;
}

for (const shape of SHAPES)
  test(`HalfAttention ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    const g = given(shape);
    const { mixed, keys, values } = run(g, 'reference');
    assertClose(mixed, overNumbers(g), () => ROUNDING, 'loops over halves and over numbers');
    const count = shape.length + shape.rows;
    // |score| ≤ √width, with one rounding per term and two for the scale; exponents are off by twice that, since the
    // highest is taken off, in its step and where chunks meet. Exponentials add theirs with the same factors, then the
    // sum over |v| ≤ 1 with its weights.
    const score = (shape.width + 2) * ROUNDING * Math.sqrt(shape.width);
    const error = 2 * score + 6 * EXP_ERROR + (2 * count + 16) * ROUNDING;
    forEachVariant((isa, threads) => {
      const found = run(g, isa, threads);
      assertClose(found.mixed, mixed, () => error, `${isa} ${threads}`);
      assert.deepEqual(found.keys, keys, `${isa} keys`);
      assert.deepEqual(found.values, values, `${isa} values`);
    });
  });

/** Ties, the borders between normal and subnormal halves, what is too large, and what is no number. */
const DIFFICULT = [
  ...[0, -0, 1, -1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20, 2049, 2051, -4098, 0.1],
  ...[
    2 ** -14,
    2 ** -14 - 2 ** -25,
    2 ** -14 - 2 ** -26,
    2 ** -24,
    2 ** -25,
    3 * 2 ** -25,
    2 ** -25 + 2 ** -40,
  ],
  ...[5 * 2 ** -25, 1e-8, -1e-30, 2 ** -15 + 2 ** -26, 65504, 65519, 65520, -65520, 1e30, -1e30],
  ...[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
];

test('keys and values become the nearest halves, within their range', { skip: notBuilt }, () => {
  const width = DIFFICULT.length;
  const tensor = (data: Float32Array): ProbeTensor => ({ data, dims: [1, 1, width] });
  const [k, v] = [Float32Array.from(DIFFICULT), Float32Array.from(DIFFICULT, (x) => -x)];
  const none: ProbeTensor = { data: new Uint16Array(), dims: [1, 0, width] };
  const length: ProbeTensor = { data: BigInt64Array.of(0n), dims: [1] };
  const inputs = [tensor(new Float32Array(width)), tensor(k), tensor(v), none, none, length];
  // NaN keeps neither its sign nor its digits.
  const bits = (halves: Uint16Array): number[] =>
    Array.from(halves, (half) => ((half & 0x7fff) > 0x7c00 ? 0x7e00 : half));
  const expected = (x: Float32Array): number[] =>
    bits(float32ToFloat16(x.map((value) => Math.min(65504, Math.max(-65504, value)))));
  for (const isa of ['reference', ...addon!.instructionSets()]) {
    const found = run({ attributes: { scale: 1, rows: 1, window: 0 }, inputs }, isa);
    assert.deepEqual(bits(found.keys), expected(k), isa);
    assert.deepEqual(bits(found.values), expected(v), isa);
  }
});

test('every half is read as the number that it is', { skip: notBuilt }, () => {
  // One token with one channel: its value is the result.
  const finite = Uint16Array.from({ length: 2 ** 16 }, (_, half) => half).filter(
    (half) => (half & 0x7c00) < 0x7c00,
  );
  const [groups, width] = [1, finite.length];
  const row = (data: Float32Array | Uint16Array): ProbeTensor => ({ data, dims: [groups, 1, width] });
  const zeros = new Float32Array(width);
  // The new token is out of sight: its score is lower by far.
  const own = zeros.slice().fill(-1000, 0, 1);
  const key = new Uint16Array(width).fill(0x6400, 0, 1);
  const length: ProbeTensor = { data: BigInt64Array.of(1n), dims: [1] };
  const q = zeros.slice().fill(1, 0, 1);
  const inputs = [row(q), row(own), row(zeros), row(key), row(finite), length];
  for (const isa of ['reference', ...addon!.instructionSets()]) {
    const { mixed } = run({ attributes: { scale: 1, rows: 1, window: 0 }, inputs }, isa);
    // Its weight is divided by itself: three roundings, where the next half is off by 2⁻¹¹.
    const numbers = float16ToFloat32(finite);
    assertClose(mixed, numbers, (i) => 3 * ROUNDING * Math.abs(numbers[i]!), isa);
  }
});

test('attention over halves does not depend on the number of threads', { skip: notBuilt }, () => {
  for (const rows of [1, 9]) {
    const g = given({ groups: 6, repeats: 3, rows, capacity: 1400, length: 1333, width: 40, window: 0 });
    for (const isa of addon!.instructionSets()) assertSameBits(run(g, isa, 3).mixed, run(g, isa).mixed, isa);
  }
});

test('attention over halves refuses what does not fit', { skip: notBuilt }, () => {
  assertRefused(given(SMALL_CACHE), run);
});
