/**
 * This benchmark runs every native operator at the shapes of a learning step (stories3M, 8 × 256 tokens). It compares
 * each with memcpy of the bytes that it reads and writes, on as many threads, as ratios within one run. It writes
 * bench/results/operators.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProbeTensor } from '../src/engine/runtime/addon.ts';
import { median, openAddon } from './probe.ts';

const TOKENS = 2048;
const [D, F, V, HEADS, S, H] = [192, 512, 4096, 6, 256, 32];
const REPEATS = 15;
const ROUNDS = 5;

interface Case {
  readonly name: string;
  readonly label: string;
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
  /** These inputs hold token ids. */
  readonly labels?: readonly number[];
  /** These inputs say that all S tokens of a cache are there. */
  readonly lengths?: readonly number[];
  /** These inputs [n, n] are positive definite, larger near the diagonal. The lower triangle serves as a factor. */
  readonly moments?: readonly number[];
  /** These inputs are scales and zeros, filled with ones. */
  readonly ones?: readonly number[];
  /** These inputs are codes of a byte, all 0. */
  readonly bytes?: readonly number[];
  /** True where the first output has a byte per element. */
  readonly codes?: boolean;
}

const token = { bits: 4, symmetric: 0, group: 0, clip_ratio: 1, include_zero: 1 };
const weight = { bits: 4, symmetric: 1, group: 0, clip_search: 0 };
const heads = [8, HEADS, S, H];
const lse = [8, HEADS, S];
const mask = { scale: 0.18, rows: S, window: 0 };
const CASES: readonly Case[] = [
  {
    name: 'FakeQuantize',
    label: 'per token, d',
    attributes: token,
    inputs: [[TOKENS, D]],
    outputs: [[TOKENS, D]],
  },
  {
    name: 'FakeQuantize',
    label: 'per token, f',
    attributes: token,
    inputs: [[TOKENS, F]],
    outputs: [[TOKENS, F]],
  },
  {
    name: 'FakeQuantize',
    label: 'per head',
    attributes: { ...token, group: H, include_zero: 0 },
    inputs: [[TOKENS, D]],
    outputs: [[TOKENS, D]],
  },
  {
    name: 'FakeQuantizeWeight',
    label: 'per row',
    attributes: weight,
    inputs: [[F, D]],
    outputs: [
      [F, D],
      [F, 1],
    ],
  },
  {
    name: 'FakeQuantizeWeight',
    label: 'clip search, 80 ratios',
    attributes: { ...weight, clip_search: 1 },
    inputs: [[F, D]],
    outputs: [
      [F, D],
      [F, 1],
    ],
  },
  {
    name: 'CausalAttention',
    label: 'S = 256',
    attributes: mask,
    inputs: [heads, heads, heads],
    outputs: [heads, lse],
  },
  {
    name: 'CachedAttention',
    label: '256 sequences, 256 tokens each',
    attributes: { scale: 0.18, rows: 1, window: 0 },
    inputs: [[512, 3, H], [512, 1, H], [512, 1, H], [512, S, H], [512, S, H], [1]],
    outputs: [[512, 3, H]],
    lengths: [5],
  },
  {
    name: 'CausalAttentionGrad',
    label: 'S = 256',
    attributes: mask,
    inputs: [heads, heads, heads, heads, lse, heads],
    outputs: [heads, heads, heads],
  },
  {
    name: 'RmsNorm',
    label: 'd',
    attributes: { epsilon: 1e-5 },
    inputs: [[TOKENS, D]],
    outputs: [[TOKENS, D]],
  },
  {
    name: 'RmsNormGrad',
    label: 'd',
    attributes: { epsilon: 1e-5 },
    inputs: [
      [TOKENS, D],
      [TOKENS, D],
    ],
    outputs: [[TOKENS, D]],
  },
  {
    name: 'SwiGlu',
    label: 'f',
    attributes: {},
    inputs: [
      [TOKENS, F],
      [TOKENS, F],
    ],
    outputs: [[TOKENS, F]],
  },
  {
    name: 'SwiGluGrad',
    label: 'f',
    attributes: {},
    inputs: [
      [TOKENS, F],
      [TOKENS, F],
      [TOKENS, F],
    ],
    outputs: [
      [TOKENS, F],
      [TOKENS, F],
    ],
  },
  {
    name: 'RotaryEmbedding',
    label: 'queries',
    attributes: { inverse: 0 },
    inputs: [
      [8, HEADS, S, H],
      [S, H / 2],
      [S, H / 2],
    ],
    outputs: [[8, HEADS, S, H]],
  },
  {
    name: 'TokenLoss',
    label: 'V',
    attributes: {},
    inputs: [[TOKENS, V], [TOKENS]],
    outputs: [[TOKENS]],
    labels: [1],
  },
  {
    name: 'TokenLossGrad',
    label: 'V',
    attributes: {},
    inputs: [[TOKENS, V], [TOKENS], [TOKENS]],
    outputs: [[TOKENS, V], [TOKENS]],
    labels: [1],
  },
  {
    name: 'ReverseCholesky',
    label: 'f',
    attributes: { damping: 0.01 },
    inputs: [[F, F]],
    outputs: [[F, F]],
    moments: [0],
  },
  {
    name: 'GptqRound',
    label: 'f to d',
    attributes: { bits: 4 },
    inputs: [
      [D, F],
      [F, F],
      [D, 1],
      [D, 1],
    ],
    outputs: [[D, F]],
    moments: [1],
    ones: [2, 3],
    codes: true,
  },
  {
    name: 'GptqSweep',
    label: 'f to d, one sweep',
    attributes: { bits: 4, sweeps: 1, damping: 0.01 },
    inputs: [
      [D, F],
      [F, F],
      [D, F],
      [D, 1],
      [D, 1],
    ],
    outputs: [[D, F]],
    moments: [1],
    bytes: [2],
    ones: [3, 4],
    codes: true,
  },
];

const count = (dims: readonly number[]) => dims.reduce((product, dim) => product * dim, 1);

const { addon, isa } = openAddon();

function probe(which: Case, input: number): ProbeTensor {
  const dims = which.inputs[input]!;
  const size = count(dims);
  if (which.labels?.includes(input))
    return { dims, data: BigInt64Array.from({ length: size }, (_, i) => BigInt((i * 7919) % V)) };
  if (which.lengths?.includes(input)) return { dims, data: BigInt64Array.of(BigInt(S)) };
  if (which.bytes?.includes(input)) return { dims, data: new Int8Array(size) };
  if (which.ones?.includes(input)) return { dims, data: new Float32Array(size).fill(1) };
  if (which.moments?.includes(input)) {
    const n = dims[0]!;
    const near = (i: number) => 1 / (1 + Math.abs(Math.floor(i / n) - (i % n)));
    return { dims, data: Float32Array.from({ length: size }, (_, i) => near(i)) };
  }
  // Values are spread like activations: most are small, some are large.
  return {
    dims,
    data: Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898) * (i % 97 === 0 ? 8 : 1)),
  };
}

function measure(which: Case, threads: number) {
  const inputs = which.inputs.map((_, i) => probe(which, i));
  const outputs = which.outputs.map((dims, i) =>
    which.codes && i === 0 ? new Int8Array(count(dims)) : new Float32Array(count(dims)),
  );
  const bytes = [...inputs.map(({ data }) => data), ...outputs].reduce(
    (sum, data) => sum + data.byteLength,
    0,
  );
  // A copy of n bytes reads n and writes n.
  const source = new Float32Array(Math.ceil(bytes / 8)).fill(1);
  const target = new Float32Array(source.length);
  const [copies, runs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    copies.push(...addon.copyTimes(source, target, threads, REPEATS).slice(1));
    runs.push(
      ...addon.runOperator(which.name, isa, which.attributes, inputs, outputs, threads, REPEATS).slice(1),
    );
  }
  const [copy, run] = [median(copies), median(runs)];
  return {
    operator: which.name,
    label: which.label,
    threads,
    megabytes: bytes / 2 ** 20,
    copyMilliseconds: copy * 1e3,
    milliseconds: run * 1e3,
    ratio: run / copy,
  };
}

const rows = CASES.flatMap((which) => [1, 2].map((threads) => measure(which, threads)));
for (const row of rows) {
  console.log(
    `${row.operator.padEnd(20)} ${row.label.padEnd(24)} ${row.threads} thread${row.threads > 1 ? 's' : ' '} ${row.milliseconds.toFixed(3).padStart(8)} ms  memcpy ${row.copyMilliseconds.toFixed(3).padStart(7)} ms  ×${row.ratio.toFixed(1)}`,
  );
}
const folder = join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'operators.json'), `${JSON.stringify({ instructionSet: isa, rows }, null, 1)}\n`);
