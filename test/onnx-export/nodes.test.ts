/** Single pieces of an exported model in onnxruntime-node, beside plain loops. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { type GridMatrix, multiples } from '../../src/engine/network/rounded-weights.ts';
import { blockOf, blockWeight, roundedRows } from '../../src/engine/onnx-export/block-weight.ts';
import { ExternalData } from '../../src/engine/onnx-export/external-data.ts';
import { acrossHeadsNodes, hadamardNodes } from '../../src/engine/onnx-export/hadamard-nodes.ts';
import { ModelGraph } from '../../src/engine/onnx-export/model-graph.ts';
import { blockProduct, halves, wholeTable } from '../../src/engine/onnx-export/stored-weights.ts';
import { tableRows } from '../../src/engine/onnx-export/token-tables.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { rejectsWith } from '../formats/support.ts';
import { newFolder } from './exported.ts';

/** y of a graph of x [1, rows, columns], float32, or of ids [1, rows], int64. */
async function computed(
  t: TestContext,
  x: ort.Tensor,
  build: (graph: ModelGraph) => Promise<string>,
): Promise<Float32Array> {
  const folder = newFolder(t);
  const data = await ExternalData.create(folder, 'model.onnx.data');
  const graph = new ModelGraph(data);
  const last = await build(graph);
  graph.node('y', 'Identity', [last]);
  await data.finish();
  const dtype = x.type === 'int64' ? 'int64' : 'float32';
  const output = { name: 'y', dtype: 'float32', dims: ['a', 'b', 'c'] } as const;
  const model = graph.encode([{ name: 'x', dtype, dims: x.dims }], [output]);
  writeFileSync(join(folder, 'model.onnx'), model);
  const session = await ort.InferenceSession.create(join(folder, 'model.onnx'), { intraOpNumThreads: 1 });
  const { y } = await session.run({ x });
  await session.release();
  return y!.data as Float32Array;
}

const rng = new Rng(5);
const normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal());
const rowsTensor = (values: Float32Array, columns: number): ort.Tensor =>
  new ort.Tensor('float32', values, [1, values.length / columns, columns]);

/** x Wᵀ in float64. */
function products(x: Float32Array, w: Float32Array, columns: number): Float64Array {
  const [tokens, rows] = [x.length / columns, w.length / columns];
  return Float64Array.from({ length: tokens * rows }, (_, at) => {
    const [token, row] = [Math.floor(at / rows), at % rows];
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += x[token * columns + i]! * w[row * columns + i]!;
    return sum;
  });
}

/** Sums of n terms of float32 are off by at most n · 2⁻²⁴ of the sum of the terms' sizes, here about the largest sum. */
function assertNear(found: Float32Array, wanted: ArrayLike<number>, terms: number): void {
  assert.equal(found.length, wanted.length);
  const largest = Math.max(...Array.from(wanted, Math.abs));
  for (let i = 0; i < found.length; i++)
    assert.ok(
      Math.abs(found[i]! - wanted[i]!) <= 4 * terms * 2 ** -24 * largest,
      `${i}: ${found[i]} instead of ${wanted[i]}`,
    );
}

/** Codes of so many bits, s and z of random groups. */
function randomGrid(
  rows: number,
  columns: number,
  groups: number,
  bits: number,
  farthest: number,
): GridMatrix {
  const half = 2 ** (bits - 1);
  return {
    rows,
    columns,
    codes: Int8Array.from({ length: rows * columns }, () => Math.floor(rng.uniform() * 2 * half) - half),
    scale: Float32Array.from({ length: rows * groups }, () => 0.5 + rng.uniform()),
    zero: Float32Array.from({ length: rows * groups }, () => Math.round((2 * rng.uniform() - 1) * farthest)),
  };
}

for (const [rows, columns, groups, bits, farthest, kind] of [
  [7, 172, 1, 4, 0, 'none'],
  [5, 40, 1, 8, 0, 'none'],
  [3, 9, 1, 3, 0, 'none'],
  [6, 256, 1, 4, 7, 'bytes'],
  [5, 96, 3, 4, 7, 'bytes'],
  [5, 96, 6, 4, 30, 'numbers'],
  [4, 384, 2, 8, 100, 'bytes'],
  [3, 48, 3, 5, 9, 'bytes'],
] as const)
  test(`[${rows}, ${columns}] in ${groups} groups of ${bits} bits, zeros: ${kind}`, async (t) => {
    const matrix = randomGrid(rows, columns, groups, bits, farthest);
    const weight = blockWeight(matrix, bits, 'w');
    const { zeros } = weight;
    assert.equal(zeros === null ? 'none' : zeros instanceof Float32Array ? 'numbers' : 'bytes', kind);
    const x = normals(3 * columns);
    const y = await computed(t, rowsTensor(x, columns), (graph) => blockProduct(graph, 'w', 'x', weight, 0));
    assertNear(y, products(x, multiples(matrix), columns), columns);
  });

test('blocks divide groups, and are as long as ONNX Runtime takes them', async () => {
  const found = [
    [2048, 2048],
    [576, 576],
    [1536, 128],
    [11008, 11008],
    [172, 172],
    [96, 48],
    [512, 256],
  ].map(([columns, group]) => blockOf(columns!, group!));
  assert.deepEqual(found, [128, 64, 128, 128, 32, 16, 128]);
  await rejectsWith(async () => blockOf(96, 24), 'export/group-size', /groups of 24 .* 16, 32, 64, 128/);
});

test('a zero point beyond 8 bits has no product', async () => {
  const matrix = randomGrid(2, 64, 2, 8, 0);
  matrix.zero[3] = 200;
  await rejectsWith(
    async () => blockWeight(matrix, 8, 'q of layer 3'),
    'export/zero-point',
    /^q of layer 3 has a zero point of 328 /,
  );
});

test('what float16 does not hold is not stored in it', async () => {
  await rejectsWith(
    async () => halves(Float32Array.of(1, -70000), 'the head'),
    'export/float16',
    /the head has the value -70000/,
  );
  await rejectsWith(async () => halves(Float32Array.of(Number.NaN), 'the head'), 'export/float16', /NaN/);
});

for (const [columns, bits] of [
  [64, 8],
  [64, 4],
  [40, 8],
  [40, 4],
  [172, 4],
] as const)
  test(`rows of a table of ${columns} columns at ${bits} bits`, async (t) => {
    const table = normals(11 * columns);
    const ids = [3, 10, 0, 3];
    const tensor = new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
    const size = { rows: 11, columns };
    const y = await computed(t, tensor, (graph) =>
      tableRows(graph, 'table', 'x', size, { bits, rows: wholeTable(table) }).then(({ value }) => value),
    );
    const rounded = multiples(roundedRows(table, columns, bits));
    assertNear(
      y,
      ids.flatMap((id) => [...rounded.subarray(id * columns, (id + 1) * columns)]),
      1,
    );
    // No number is farther from its own than half a step.
    const step = Math.max(...table.map(Math.abs)) / (2 ** (bits - 1) - 1);
    assert.ok(table.every((value, i) => Math.abs(value - rounded[i]!) <= step * (0.5 + 2 ** -10)));
  });

/** z ↦ z M for the rows' blocks, with M = (H_Kᵀ ⊗ H_{2^m}) / √b: entry by entry. */
function transformed(
  x: Float32Array,
  { block, order, matrix }: ReturnType<typeof planHadamard>,
): Float64Array {
  const power = block / order;
  const sign = (i: number, j: number): number => {
    let shared = 0;
    for (let bit = 1; bit < power; bit *= 2) if (i & j & bit) shared++;
    return shared % 2 === 0 ? 1 : -1;
  };
  return Float64Array.from(x, (_, at) => {
    const [start, to] = [at - (at % block), at % block];
    let sum = 0;
    for (let from = 0; from < block; from++) {
      const outer = matrix ? matrix[Math.floor(to / power) * order + Math.floor(from / power)]! : 1;
      sum += x[start + from]! * outer * sign(from % power, to % power);
    }
    return sum / Math.sqrt(block);
  });
}

for (const width of [8, 48, 56, 172, 384, 512, 1536, 2048])
  test(`the Hadamard transform of ${width} channels`, async (t) => {
    const plan = planHadamard(width);
    const x = normals(3 * width);
    const y = await computed(t, rowsTensor(x, width), (graph) => hadamardNodes(graph, 'h', 'x', plan, width));
    assertNear(y, transformed(x, plan), plan.block);
  });

for (const heads of [4, 12])
  test(`the Hadamard transform across ${heads} heads`, async (t) => {
    const [plan, h] = [planHadamard(heads), 8];
    const x = normals(3 * heads * h);
    const y = await computed(t, rowsTensor(x, heads * h), (graph) =>
      acrossHeadsNodes(graph, 'h', 'x', plan, heads * h),
    );
    const turned = (values: ArrayLike<number>, byChannel: boolean) =>
      Float32Array.from({ length: values.length }, (_, at) => {
        const [token, inside] = [Math.floor(at / (heads * h)), at % (heads * h)];
        const width = byChannel ? heads : h;
        const [i, j] = [Math.floor(inside / width), inside % width];
        return values[token * heads * h + j * (byChannel ? h : heads) + i]!;
      });
    assertNear(y, turned(transformed(turned(x, true), plan), false), heads);
  });
