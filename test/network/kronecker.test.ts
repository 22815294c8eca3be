/** Maps diag(s) (P₁ ⊗ P₂) against their matrices in loops. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { kroneckerFactors, kroneckerNumbers, kroneckerSize } from '../../src/engine/network/kronecker.ts';
import {
  composed,
  inverseTransposed,
  kroneckerOf,
  timesTransform,
  timesTransposed,
} from '../../src/engine/network/side-transform.ts';
import { inverse, product } from '../../src/engine/network/small-matrix.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { noise } from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

test('factors are the divisors nearest to each other', () => {
  const widths = [1, 2, 7, 64, 172, 192, 512, 576, 1536, 8192, 11008];
  assert.deepEqual(widths.map(kroneckerFactors), [
    ...[
      [1, 1],
      [1, 2],
      [1, 7],
      [8, 8],
      [4, 43],
      [12, 16],
      [16, 32],
      [24, 24],
      [32, 48],
      [64, 128],
      [86, 128],
    ],
  ]);
});

test('an inverse is one, also where pivots are not on the diagonal; what has none is told', () => {
  const random = noise(5);
  for (const n of [1, 2, 5, 13]) {
    const a = Float64Array.from({ length: n * n }, random);
    if (n > 1) a[0] = 0;
    const found = product(inverse(a)!, a);
    // Conditions of these are below 1e4.
    for (const [i, value] of found.entries())
      assert.ok(Math.abs(value - (i % (n + 1) === 0 ? 1 : 0)) < 1e-11);
  }
  assert.equal(inverse(Float64Array.of(1, 2, 2, 4)), null);
  assert.equal(inverse(Float64Array.of(1, Number.NaN, 0, 1)), null);
});

const N = 15;
const TOKENS = 4;

/** The matrix [n, n] of a map whose factors are [3, 3] and [5, 5]. */
function matrixOf(gain: Float64Array, left: Float64Array, right: Float64Array): number[][] {
  return Array.from({ length: N }, (_, i) =>
    Array.from({ length: N }, (_, j) => {
      const [a, b] = [Math.floor(i / 5) * 3 + Math.floor(j / 5), (i % 5) * 5 + (j % 5)];
      return gain[i]! * left[a]! * right[b]!;
    }),
  );
}

test('rows, turned rows, inverses, and a gain or a matrix before them', async () => {
  const random = noise(7);
  const numbers = (size: number) => Float64Array.from({ length: size }, random);
  const source = { gain: numbers(N).map((x) => x + 2), left: numbers(9), right: numbers(25) };
  const [before, dense] = [numbers(N).map((x) => x + 2), numbers(N * N)];
  const map = kroneckerNumbers(source)!;
  const graph = new Graph('float64');
  const value = (name: string, dims: readonly number[]): Value => graph.input(name, dims);
  const kronecker = kroneckerOf(value('map', [kroneckerSize(N)]), N);
  const x = value('x', [TOKENS, N]);
  const gain = { kind: 'diagonal', gain: value('before', [N]) } as const;
  const matrix = { kind: 'dense', matrix: value('dense', [N, N]) } as const;
  const back = inverseTransposed(kronecker);
  const wanted = {
    direct: timesTransform(x, kronecker),
    turned: timesTransposed(x, kronecker),
    identity: timesTransposed(timesTransform(x, kronecker), back),
    afterGain: timesTransform(x, composed(gain, kronecker)),
    gainBack: timesTransposed(
      timesTransform(x, composed(gain, kronecker)),
      inverseTransposed(composed(gain, kronecker)),
    ),
    afterMatrix: timesTransform(x, composed(matrix, kronecker)),
  };
  const double = (dims: readonly number[], data: Float64Array): HostTensor<Float64Array> => ({
    kind: 'host',
    dtype: 'float64',
    dims,
    data,
  });
  const rows = numbers(TOKENS * N);
  const tensors = {
    map: double([map.length], map),
    x: double([TOKENS, N], rows),
    before: double([N], before),
    dense: double([N, N], dense),
  };
  const found = async (value: Value): Promise<ArrayLike<number>> => {
    const { y } = await (await Program.compile(runtime, graph, { y: value })).run(tensors);
    return y!.data as Float64Array;
  };
  const m = matrixOf(source.gain, source.left, source.right);
  const times = (row: ArrayLike<number>, of: (i: number, j: number) => number) =>
    Array.from({ length: TOKENS * N }, (_, at) => {
      let sum = 0;
      for (let i = 0; i < N; i++) sum += row[Math.floor(at / N) * N + i]! * of(i, at % N);
      return sum;
    });
  const expected = {
    direct: times(rows, (i, j) => m[i]![j]!),
    turned: times(rows, (i, j) => m[j]![i]!),
    identity: rows,
    afterGain: times(rows, (i, j) => before[i]! * m[i]![j]!),
    gainBack: rows,
    afterMatrix: times(
      times(rows, (i, j) => dense[i * N + j]!),
      (i, j) => m[i]![j]!,
    ),
  };
  // Sums of some hundred terms near 1, and inverses of a condition below 1e3.
  for (const [name, value] of Object.entries(wanted)) {
    const numbers = await found(value);
    for (const [i, right] of Array.from(expected[name as keyof typeof wanted]).entries())
      assert.ok(Math.abs(numbers[i]! - right) < 1e-11 * Math.max(1, Math.abs(right)), `${name} ${i}`);
  }
});
