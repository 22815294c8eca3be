/** Outputs that take over the memory of an input: the results must be those of outputs with memory of their own. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { build } from './graphs.ts';
import { product, weightOf } from './int4-weights.ts';
import type { NodeSpec, ValueSpec } from './onnx-model.ts';
import {
  addon,
  assertSameBits,
  bfloat16,
  cannotMeasure,
  type NativeOperator,
  nativeOperators,
  notBuilt,
  type Operation,
  random,
  runOperator,
} from './support.ts';

const native = addon && (await createRuntime({ kernels: 'native', threads: 2 }));
after(() => native?.close());

const ROWS = 9;
const WIDTH = 37;
const COUNT = ROWS * WIDTH;

function matrix(seed: number, dims: readonly number[] = [ROWS, WIDTH]): ProbeTensor & { data: Float32Array } {
  return {
    data: random(
      dims.reduce((a, b) => a * b, 1),
      seed,
      3,
    ),
    dims,
  };
}

/** Makes bfloat16 numbers of the upper halves of float32 ones. */
function bfloat16Tensor(seed: number, dims: readonly [number, number]): ProbeTensor & { data: Uint16Array } {
  return { data: bfloat16(random(dims[0] * dims[1], seed)), dims };
}

const labels = { data: BigInt64Array.from({ length: ROWS }, (_, i) => BigInt(i % 4) - 1n), dims: [ROWS] };
const quantizer = { bits: 4, symmetric: 0, include_zero: 1 };
const hadamard12 = { data: Float32Array.from(random(144, 5), Math.sign), dims: [12, 12] };

/** Its rows are no whole number of panels. */
function int4Sum(): Operation {
  const sum = product(random(ROWS * WIDTH, 1), weightOf(37, WIDTH, 0, true), {
    ...{ bits: 8, symmetric: 0, clip_ratio: 1 },
  });
  return { ...sum, name: 'Int4MatMulAdd', inputs: [matrix(4), ...sum.inputs] };
}

/** Every operator that may reuse memory is here. Odd widths reach the ends of rows. */
const OPERATIONS: readonly Operation[] = [
  { name: 'Hadamard', attributes: { block: 64 }, inputs: [matrix(1, [3, 128])], outputs: [3 * 128] },
  {
    name: 'Hadamard',
    attributes: { block: 96, order: 12 },
    inputs: [matrix(1, [5, 192]), hadamard12],
    outputs: [5 * 192],
  },
  {
    name: 'Kronecker',
    attributes: { left: 3 },
    inputs: [matrix(1, [5, 57]), { data: random(57 + 9 + 361, 2), dims: [427] }],
    outputs: [5 * 57],
  },
  { name: 'FakeQuantize', attributes: quantizer, inputs: [matrix(1)], outputs: [COUNT] },
  {
    name: 'FakeQuantize',
    attributes: { ...quantizer, group: 8 },
    inputs: [matrix(1, [9, 40])],
    outputs: [360],
  },
  { name: 'FakeQuantizeRows', attributes: quantizer, inputs: [matrix(1)], outputs: [COUNT, ROWS] },
  ...[0, 1].map((symmetric) => ({
    name: 'FakeQuantizeScaleGrad',
    attributes: { symmetric, include_zero: 1 },
    inputs: [matrix(1), matrix(2), matrix(3)],
    outputs: [COUNT],
  })),
  // These are wider and higher than a panel of tiles, and deeper than a block of them.
  ...[0, 1].map((transB) => ({
    name: 'GemmBfloat16Add',
    attributes: { transB },
    inputs: [matrix(1, [70, 800]), bfloat16Tensor(2, transB ? [45, 800] : [800, 45]), matrix(3, [70, 45])],
    outputs: [70 * 45],
  })),
  ...(addon ? [int4Sum()] : []),
  // Both widths of tiles, with a part of one at the end.
  ...[150, 1540].map((n) => ({
    name: 'SecondMoment',
    attributes: {},
    inputs: [matrix(1, [3, n]), matrix(2, [n, n])],
    outputs: [n * n],
  })),
  { name: 'RmsNorm', attributes: {}, inputs: [matrix(1)], outputs: [COUNT] },
  { name: 'RmsNormGrad', attributes: {}, inputs: [matrix(1), matrix(2)], outputs: [COUNT] },
  { name: 'SwiGlu', attributes: {}, inputs: [matrix(1), matrix(2)], outputs: [COUNT] },
  {
    name: 'SwiGluGrad',
    attributes: {},
    inputs: [matrix(1, [70, 71]), matrix(2, [70, 71]), matrix(3, [70, 71])],
    outputs: [70 * 71, 70 * 71],
  },
  {
    name: 'RotaryEmbedding',
    attributes: {},
    inputs: [matrix(1, [2, 5, 42]), matrix(2, [5, 21]), matrix(3, [5, 21])],
    outputs: [2 * 5 * 42],
  },
  {
    name: 'TokenLossGrad',
    attributes: {},
    inputs: [matrix(1), labels, matrix(2, [ROWS])],
    outputs: [COUNT, ROWS],
  },
];

const reuses = (type: NativeOperator) => type.outputs.some(({ mayReuse }) => mayReuse >= 0);

/** Runs an operator that writes each output over the input whose memory it may take over. */
function runInPlace(operation: Operation, instructionSet: string, threads: number): Float32Array[] {
  const inputs = operation.inputs.map((input) => input && { ...input, data: input.data.slice() });
  const { outputs: specs } = nativeOperators().find(({ name }) => name === operation.name)!;
  const outputs = operation.outputs.map((count, index) => {
    const { mayReuse } = specs[index]!;
    return mayReuse >= 0
      ? (inputs[mayReuse]!.data as Float32Array)
      : new Float32Array(count).fill(Number.NaN);
  });
  addon!.runOperator(operation.name, instructionSet, operation.attributes, inputs, outputs, threads, 1);
  return outputs;
}

test('what may be reused is an input of the same element type', { skip: notBuilt }, () => {
  const types = nativeOperators();
  assert.ok(types.length > 20);
  for (const { name, inputs, outputs } of types)
    for (const { type, mayReuse } of outputs)
      if (mayReuse >= 0) assert.equal(inputs[mayReuse]?.type, type, name);
});

test('every operator that may reuse memory gives the same bits in place', { skip: notBuilt }, () => {
  const checked = new Set(OPERATIONS.map(({ name }) => name));
  const missing = nativeOperators().filter((type) => reuses(type) && !checked.has(type.name));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
  for (const operation of OPERATIONS)
    for (const instructionSet of ['reference', ...addon!.instructionSets()])
      for (const threads of [1, 2]) {
        const apart = runOperator(operation, instructionSet, threads);
        runInPlace(operation, instructionSet, threads).forEach((output, index) => {
          assertSameBits(output, apart[index]!, `${operation.name} ${index} ${instructionSet} ${threads}`);
        });
      }
});

/** The operator may take over input 2, which is twice `half` in the graphs below. */
interface Third {
  readonly operation: Operation;
  readonly half: ProbeTensor & { data: Float32Array };
}

function thirdInput(name: string): Third {
  const operation = OPERATIONS.find((candidate) => candidate.name === name)!;
  return { operation, half: operation.inputs[2] as Third['half'] };
}

const doubled = (values: Float32Array): Float32Array => values.map((value) => 2 * value);

/**
 * Computes d = half + half, y = operator(a, b, d) and out = y + half. A second reader of d gives other = d + half.
 * @param shapes gives the shapes of d and y: without them ONNX Runtime reuses nothing.
 */
async function runGraph({ operation, half }: Third, readers: 1 | 2, shapes: boolean) {
  const [a, b] = operation.inputs as [ProbeTensor, ProbeTensor];
  const value = (name: string, { dims, data }: ProbeTensor): ValueSpec => ({
    name,
    dims,
    dtype: data instanceof Uint16Array ? 'bfloat16' : 'float32',
  });
  const { name, attributes } = operation;
  const nodes: NodeSpec[] = [
    { op: 'Add', inputs: ['half', 'half'], outputs: ['d'] },
    { op: name, domain: 'spinquant', inputs: ['a', 'b', 'd'], outputs: ['y'], attributes },
    { op: 'Add', inputs: ['y', 'half'], outputs: ['out'] },
  ];
  if (readers === 2) nodes.push({ op: 'Add', inputs: ['d', 'half'], outputs: ['other'] });
  const outputs = readers === 2 ? ['out', 'other'] : ['out'];
  const session = await build(
    native!,
    nodes,
    [value('a', a), value('b', b), value('half', half)],
    outputs.map((output) => value(output, half)),
    shapes ? [value('d', half), value('y', half)] : [],
  );
  const host = ({ dims, data }: ProbeTensor): HostTensor => ({
    kind: 'host',
    dtype: data instanceof Uint16Array ? 'bfloat16' : 'float32',
    dims,
    data,
  });
  const results = await session.run({ a: host(a), b: host(b), half: host(half) }, outputs);
  session.release();
  return results;
}

for (const name of ['FakeQuantizeScaleGrad', 'GemmBfloat16Add'])
  test(`${name}: input 2 is taken over where nothing else reads it`, { skip: notBuilt }, async () => {
    const third = thirdInput(name);
    const { operation, half } = third;
    const d = doubled(half.data);
    const inputs = operation.inputs.with(2, { data: d, dims: half.dims });
    const [y] = runOperator({ ...operation, inputs }, addon!.instructionSets().at(-1)!);
    const plusHalf = (values: Float32Array) => values.map((value, i) => value + half.data[i]!);
    for (const readers of [1, 2] as const)
      for (const shapes of [false, true]) {
        const results = await runGraph(third, readers, shapes);
        const what = `${name}, ${readers} readers, shapes ${shapes}`;
        assertSameBits(results.out!.data as Float32Array, plusHalf(y!), what);
        if (readers === 2) assertSameBits(results.other!.data as Float32Array, plusHalf(d), what);
      }
  });

/** A run holds the operator's inputs at once, and its outputs too unless they take these over. */
interface Held {
  readonly nodes: NodeSpec[];
  /** Names of large tensors. */
  readonly between: string[];
  readonly outputs: string[];
}

const SCALE_GRADIENT: Held = {
  nodes: [
    { op: 'Add', inputs: ['x', 'x'], outputs: ['d'] },
    { op: 'FakeQuantizeScaleGrad', domain: 'spinquant', inputs: ['x', 'x', 'd'], outputs: ['y'] },
    { op: 'ReduceMax', inputs: ['y'], outputs: ['out'] },
  ],
  between: ['d', 'y'],
  outputs: ['out'],
};

const SWIGLU_GRADIENT: Held = {
  nodes: [
    { op: 'Add', inputs: ['x', 'x'], outputs: ['gate'] },
    { op: 'Mul', inputs: ['x', 'x'], outputs: ['up'] },
    { op: 'SwiGluGrad', domain: 'spinquant', inputs: ['gate', 'up', 'x'], outputs: ['dGate', 'dUp'] },
    { op: 'ReduceMax', inputs: ['dGate'], outputs: ['a'] },
    { op: 'ReduceMax', inputs: ['dUp'], outputs: ['b'] },
  ],
  between: ['gate', 'up', 'dGate', 'dUp'],
  outputs: ['a', 'b'],
};

test('outputs that take over inputs need no memory of their own', { skip: cannotMeasure }, async () => {
  const dims = [1024, 16384];
  const bytes = 4 * dims[0]! * dims[1]!;
  const x = float32(dims, random(dims[0]! * dims[1]!, 1));
  /** Counts the tensors by which a run makes this process grow. ONNX Runtime keeps what earlier runs needed. */
  const growth = async ({ nodes, between, outputs }: Held, shapes: boolean): Promise<number> => {
    const known = between.map((name) => ({ name, dims }));
    const results = outputs.map((name) => ({ name, dims: [1, 1] }));
    const session = await build(native!, nodes, [{ name: 'x', dims }], results, shapes ? known : []);
    const before = process.memoryUsage.rss();
    await session.run({ x }, outputs);
    session.release();
    return Math.round((process.memoryUsage.rss() - before) / bytes);
  };
  assert.equal(await growth(SCALE_GRADIENT, true), 1, 'd, then y in its place');
  assert.equal(await growth(SCALE_GRADIENT, false), 1, 'd as before, and y beside it');
  assert.equal(
    await growth(SWIGLU_GRADIENT, true),
    0,
    'two inputs as before, then two outputs in their place',
  );
  assert.equal(await growth(SWIGLU_GRADIENT, false), 2, 'two inputs as before, and two outputs beside them');
});
