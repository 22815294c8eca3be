/** The loss of tokens with a bfloat16 output layer whose logits are never in memory together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertClose,
  assertSameBits,
  bfloat16,
  EXP_ERROR,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** Tokens, depth and vocabulary: less than a vector, a panel and what is left of it, several slices, parts of the depth. */
const SHAPES = [
  [1, 1, 1],
  [3, 5, 2],
  [17, 16, 129],
  [48, 33, 8],
  [50, 67, 771],
  [5, 800, 1601],
  [2, 0, 3],
  [0, 8, 3],
] as const;

function operation([tokens, depth, vocabulary]: readonly [number, number, number]): Operation {
  // Every third label is not counted.
  const labels = BigInt64Array.from({ length: tokens }, (_, t) =>
    t % 3 === 2 ? -1n : BigInt((t * 131) % vocabulary),
  );
  return {
    name: 'HeadLoss',
    attributes: {},
    inputs: [
      { data: random(tokens * depth, 1), dims: [tokens, depth] },
      { data: bfloat16(random(vocabulary * depth, 2, 3)), dims: [vocabulary, depth] },
      { data: labels, dims: [tokens] },
    ],
    outputs: [tokens],
  };
}

/**
 * A logit is a sum of `depth` products of at most 3, each with at most two roundings. The highest one and that of the
 * label are off by this, and so is the logarithm of the sum. That is a sum of 128 exponentials in two parts, and of up to
 * six such sums, with a rounding each; an exponential is off by its error, once more for each time that a higher one comes.
 */
const boundOf = (depth: number, result: number): number =>
  2 * depth * 3 * (2 * depth + 1) * ROUNDING +
  (64 + 1 + 6) * ROUNDING +
  7 * EXP_ERROR +
  result * 2 * ROUNDING;

test('HeadLoss against loops in double precision, with the same bits on any number of threads', {
  skip: notBuilt,
}, () => {
  for (const shape of SHAPES) {
    const expected = runOperator(operation(shape), 'reference')[0]!;
    const alone = new Map<string, Float32Array>();
    forEachVariant((isa, threads) => {
      const [found] = runOperator(operation(shape), isa, threads) as [Float32Array];
      assertClose(found, expected, (i) => boundOf(shape[1], expected[i]!), `${shape} ${isa} ${threads}`);
      assertSameBits(found, alone.get(isa) ?? found, `${shape} ${isa} ${threads}`);
      alone.set(isa, found);
    });
  }
});

test('a loss with a number that is none is none, and others stay', { skip: notBuilt }, () => {
  const { inputs, ...rest } = operation([50, 67, 771]);
  const usual = new Map<string, Float32Array>();
  forEachVariant((isa) => usual.set(isa, runOperator({ ...rest, inputs }, isa)[0]!));
  const data = Float32Array.from(inputs[0]!.data as Float32Array);
  data[4 * 67 + 3] = Number.NaN;
  forEachVariant((isa) => {
    const [found] = runOperator({ ...rest, inputs: inputs.with(0, { data, dims: [50, 67] }) }, isa) as [
      Float32Array,
    ];
    assert.ok(Number.isNaN(found[4]!), isa);
    assertSameBits(found.with(4, 0), usual.get(isa)!.with(4, 0), isa);
  });
});

test('HeadLoss takes nothing that does not fit', { skip: notBuilt }, () => {
  const { inputs, ...rest } = operation([2, 16, 7]);
  const changed = (at: number, dims: number[]) => inputs.with(at, { ...inputs[at]!, dims });
  assert.throws(() => runOperator({ ...rest, inputs: changed(1, [16, 7]) }, 'portable'), /takes X \[T, K\]/);
  const labels = { data: BigInt64Array.of(1n, 7n), dims: [2] };
  assert.throws(
    () => runOperator({ ...rest, inputs: inputs.with(2, labels) }, 'portable'),
    /label 1 is 7, the vocabulary has 7 entries/,
  );
});
