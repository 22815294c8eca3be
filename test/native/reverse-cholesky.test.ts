import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reverseCholesky } from '../../src/engine/graph/fused/gptq.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { damped, factor, moments, type Products, productsOf } from './moments.ts';
import { addon, assertSameBits, forEachVariant, notBuilt } from './support.ts';

function checkFactor(t: Float32Array, h: Float32Array, n: number, what: string): Products {
  const { a } = damped(h, n);
  const products = productsOf(t, h, n);
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) {
      const at = j * n + k;
      if (k > j) assert.equal(t[at], 0, `${what}: above the diagonal`);
      const error = Math.abs(products.product[at]! - a[at]!);
      if (!(error <= products.tolerance[at]!))
        assert.fail(`${what}: (TᵀT)[${j}, ${k}] is off by ${error}, allowed ${products.tolerance[at]}`);
    }
  return products;
}

/** n and samples: fewer samples than n leave directions that only λ covers. */
const FACTORS = [
  [1, 3],
  [7, 20],
  [65, 100],
  [65, 9],
  [130, 300],
  [130, 40],
  [330, 110],
] as const;

test('ReverseCholesky: TᵀT is H + λI up to one rounding of each element, and as the loops have it', {
  skip: notBuilt,
}, () => {
  for (const [n, samples] of FACTORS) {
    const h = moments(n, samples, n);
    const { a, shift } = damped(h, n);
    const expected = factor(h, n, 'reference');
    const allowed = checkFactor(expected, h, n, `n = ${n} reference`).total;
    let trace = 0;
    for (let j = 0; j < n; j++) trace += a[j * n + j]!;
    forEachVariant((instructionSet, threads) => {
      const what = `n = ${n}, ${samples} samples, ${instructionSet} ${threads}`;
      const t = factor(h, n, instructionSet, threads);
      const { total } = checkFactor(t, h, n, what);
      // Factors of A and A + E differ by at most ‖A‖^½ ‖A⁻¹‖ ‖E‖_F / √2 to first order (Sun 1991); ‖A⁻¹‖ ≤ 1 / λ.
      const distance = Math.hypot(...t.map((value, i) => value - expected[i]!));
      assert.ok(distance <= (Math.sqrt(trace) * (total + allowed)) / shift, `${what}: off by ${distance}`);
    });
  }
});

test('ReverseCholesky: the upper triangle is not read, and the threads do not matter', {
  skip: notBuilt,
}, () => {
  const n = 200;
  const h = moments(n, 60, 5);
  const lower = h.map((value, i) => (i % n > Math.floor(i / n) ? Number.NaN : value));
  for (const instructionSet of addon!.instructionSets()) {
    const expected = factor(h, n, instructionSet);
    for (const threads of [1, 2, 3])
      assertSameBits(factor(lower, n, instructionSet, threads), expected, `${instructionSet} ${threads}`);
  }
});

test('ReverseCholesky: zeros give I; values by hand', { skip: notBuilt }, () => {
  for (const instructionSet of ['reference', ...addon!.instructionSets()]) {
    for (const n of [1, 7, 65, 130]) {
      const identity = new Float32Array(n * n).map((_, i) => (i % (n + 1) === 0 ? 1 : 0));
      assertSameBits(factor(new Float32Array(n * n), n, instructionSet), identity, instructionSet);
    }
    const t = new Float32Array(4);
    // mean(diag) = 2, λ = 2: [[3, 2], [2, 5]] = TᵀT with T = [[√(3 − 4/5), 0], [2/√5, √5]].
    const inputs = [{ data: Float32Array.of(1, 2, 2, 3), dims: [2, 2] }];
    addon!.runOperator('ReverseCholesky', instructionSet, { damping: 1 }, inputs, [t], 1, 1);
    const root = Math.fround(Math.sqrt(5));
    const low = Math.fround(2 / root);
    assert.deepEqual([...t], [Math.fround(Math.sqrt(3 - low * low)), 0, low, root]);
  }
});

test('ReverseCholesky refuses what does not fit', { skip: notBuilt }, () => {
  const refuse = (dims: number[], damping: number, message: RegExp) =>
    assert.throws(() => {
      const inputs = [{ data: new Float32Array(4), dims }];
      addon!.runOperator('ReverseCholesky', 'portable', { damping }, inputs, [new Float32Array(4)], 1, 1);
    }, message);
  refuse([1, 4], 1, /H must be \[n, n\], found \[1, 4\]/);
  refuse([4], 1, /H must be \[n, n\], found \[4\]/);
  refuse([2, 2], 0, /attribute damping must be above 0, found 0/);
});

test('ReverseCholesky stops in its midst', { skip: notBuilt }, async () => {
  const n = 4000;
  const runtime = await createRuntime({ kernels: 'native', threads: 1 });
  const graph = new Graph();
  const program = await Program.compile(runtime, graph, { t: reverseCholesky(graph.input('h', [n, n]), 1) });
  const h = new Float32Array(n * n);
  for (let i = 0; i < n; i++) h[i * n + i] = 1;
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 10);
  await assert.rejects(program.run({ h: float32([n, n], h) }, controller.signal), Cancelled);
  program.release();
  runtime.close();
});
