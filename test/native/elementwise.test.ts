import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import {
  assertClose,
  EXP_ERROR,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

const widths = [1, 3, 172, 288, 576, 11008, 18944];
const rowsFor = (width: number) => (width > 10000 ? [3] : [1, 3, 65]);

function tensor(dims: readonly number[], seed: number, scale = 1): ProbeTensor {
  return {
    data: random(
      dims.reduce((a, b) => a * b, 1),
      seed,
      scale,
    ),
    dims,
  };
}

/** Each output of each variant against the reference. The tolerance sees the reference's outputs. */
function check(
  operation: Operation,
  tolerance: (output: number, index: number, expected: readonly Float32Array[]) => number,
): void {
  const expected = runOperator(operation, 'reference');
  forEachVariant((instructionSet, threads) => {
    const what = `${operation.name} ${JSON.stringify(operation.attributes)} ${instructionSet} ${threads}`;
    runOperator(operation, instructionSet, threads).forEach((actual, k) => {
      assertClose(actual, expected[k]!, (i) => tolerance(k, i, expected), what);
    });
  });
}

/** Roundings of a sum of n terms in 4 or more lanes, then over the lanes. */
const sumDepth = (n: number) => n / 4 + 4;

function largestOfRows(values: Float32Array, n: number): number[] {
  return Array.from({ length: values.length / n }, (_, row) =>
    values.subarray(row * n, (row + 1) * n).reduce((largest, v) => Math.max(largest, Math.abs(v)), 0),
  );
}

test('RmsNorm and RmsNormGrad', { skip: notBuilt }, () => {
  for (const n of widths) {
    for (const rows of rowsFor(n)) {
      const dims = [rows, n];
      const x = tensor(dims, n, 3);
      const attributes = { epsilon: 1e-5 };
      // The mean of squares has sumDepth roundings, halved by the root.
      const relative = (sumDepth(n) / 2 + 4) * ROUNDING;
      check({ name: 'RmsNorm', attributes, inputs: [x], outputs: [rows * n] }, (_, i, [y]) =>
        Math.abs(y![i]! * relative),
      );
      const dy = tensor(dims, n + 1);
      // dx = r·(dy - x̂·mean(dy∘x̂)) with |x̂| <= 2 after normalization, |dy| <= 1, and r at most about 1000 (n = 1).
      const r = Float64Array.from({ length: rows }, (_, row) => {
        const values = (x.data as Float32Array).subarray(row * n, (row + 1) * n);
        return 1 / Math.sqrt(values.reduce((total, v) => total + v * v, 0) / n + 1e-5);
      });
      check({ name: 'RmsNormGrad', attributes, inputs: [x, dy], outputs: [rows * n] }, (_, i) => {
        return r[Math.floor(i / n)]! * 5 * (2 * sumDepth(n) + 6) * ROUNDING;
      });
    }
  }
});

test('PeakLoss and PeakLossGrad', { skip: notBuilt }, () => {
  for (const n of widths) {
    for (const rows of rowsFor(n)) {
      const y = tensor([rows, n], n, 3);
      const dloss = tensor([rows, 1], n + 1);
      const attributes = { temperature: 2, epsilon: 1e-6 };
      // A deviation of at most 6 has the error of the mean and its own; halved by T, it is relative in the exponential.
      const deviation = (3 * sumDepth(n) + 6) * ROUNDING;
      const relative = EXP_ERROR + deviation + (sumDepth(n) + 16) * ROUNDING;
      check({ name: 'PeakLoss', attributes, inputs: [y], outputs: [rows] }, (_, i, [loss]) => {
        return 4 * relative * loss![i]!;
      });
      // Three products of up to four such factors; the row's largest slope bounds them all but for what cancels.
      const gradient = { name: 'PeakLossGrad', attributes, inputs: [y, dloss], outputs: [rows * n] };
      const largest = largestOfRows(runOperator(gradient, 'reference')[0]!, n);
      check(gradient, (_, i) => 12 * relative * largest[Math.floor(i / n)]! + 1e-12);
    }
  }
});

test('SwiGlu and SwiGluGrad, also far out', { skip: notBuilt }, () => {
  for (const n of widths) {
    for (const rows of rowsFor(n)) {
      const dims = [rows, n];
      const gate = tensor(dims, n, n === 576 ? 200 : 10);
      const up = tensor(dims, n + 1);
      const dy = tensor(dims, n + 2);
      const relative = EXP_ERROR + 8 * ROUNDING;
      check({ name: 'SwiGlu', attributes: {}, inputs: [gate, up], outputs: [rows * n] }, (_, i, [y]) => {
        return Math.abs(y![i]! * relative) + 1e-35;
      });
      // 1 + gate·(1 - σ) cancels near gate = -1.28: the error is relative to its parts, at most 1 + |gate|·σ(-gate).
      check(
        { name: 'SwiGluGrad', attributes: {}, inputs: [gate, up, dy], outputs: [rows * n, rows * n] },
        (k, i, outputs) => {
          const g = (gate.data as Float32Array)[i]!;
          const size = k === 1 ? Math.abs(outputs[1]![i]!) : (1 + Math.abs(g)) / (1 + Math.exp(-g));
          return size * 3 * relative + 1e-35;
        },
      );
    }
  }
});

test('RotaryEmbedding: rotates and rotates back', { skip: notBuilt }, () => {
  for (const [positions, width] of [
    [1, 2],
    [3, 6],
    [65, 64],
    [7, 128],
    [5, 172],
  ] as const) {
    const angles = random(positions * (width / 2), 5, 3);
    const table = { dims: [positions, width / 2] };
    const cos = { ...table, data: angles.map(Math.cos) };
    const sin = { ...table, data: angles.map(Math.sin) };
    const x = tensor([2, 3, positions, width], width);
    const count = x.data.length;
    const run = (input: ProbeTensor, inverse: number): Operation => ({
      name: 'RotaryEmbedding',
      attributes: { inverse },
      inputs: [input, cos, sin],
      outputs: [count],
    });
    // Two products below 1 and their sum, one rounding each.
    for (const inverse of [0, 1]) check(run(x, inverse), () => 4 * ROUNDING);
    const [there] = runOperator(run(x, 0), 'portable');
    const [back] = runOperator(run({ data: there!, dims: x.dims }, 1), 'portable');
    // cos² + sin² = 1 to two roundings each of the tables.
    assertClose(back!, x.data as Float32Array, () => 16 * ROUNDING, 'back');
  }
});

test('TokenLoss and TokenLossGrad, with ignored tokens', { skip: notBuilt }, () => {
  for (const [rows, vocabulary] of [
    [1, 1],
    [3, 3],
    [65, 172],
    [3, 11008],
    [2, 49152],
  ] as const) {
    const logits = tensor([rows, vocabulary], vocabulary, 12);
    const labels = {
      data: BigInt64Array.from({ length: rows }, (_, i) =>
        BigInt(i % 3 === 2 ? -100 : (i * 7919) % vocabulary),
      ),
      dims: [rows],
    };
    const inputs = [logits, labels];
    // The loss is below 24 + ln V < 40; stretches of 2048 are summed in double.
    const relative = EXP_ERROR + (sumDepth(2048) + 24) * ROUNDING;
    check({ name: 'TokenLoss', attributes: {}, inputs, outputs: [rows] }, () => relative + 40 * ROUNDING);
    const dnll = tensor([rows], 9);
    const grad: Operation = {
      name: 'TokenLossGrad',
      attributes: {},
      inputs: [...inputs, dnll],
      outputs: [rows * vocabulary, rows],
    };
    check(grad, (output, i, [d]) => {
      if (output === 1) return relative + 40 * ROUNDING;
      const row = Math.floor(i / vocabulary);
      const isLabel = BigInt(i % vocabulary) === labels.data[row];
      const scale = isLabel ? Math.abs((dnll.data as Float32Array)[row]!) : Math.abs(d![i]!);
      return scale * (2 * relative) + 2 ** -124;
    });
  }
});

test('TokenLoss: a label outside the vocabulary is refused', { skip: notBuilt }, () => {
  const operation: Operation = {
    name: 'TokenLoss',
    attributes: {},
    inputs: [tensor([2, 5], 1), { data: BigInt64Array.of(1n, 5n), dims: [2] }],
    outputs: [2],
  };
  assert.throws(() => runOperator(operation, 'portable'), /label 1 is 5, the vocabulary has 5 entries/);
});
