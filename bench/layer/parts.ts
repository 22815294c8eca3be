/**
 * Measures what R3, R4, FlatQuant's maps and the quantizers of a layer take for one token, operator by operator. Prints
 * JSON.
 */
import { kroneckerFactors } from '../../src/engine/network/kronecker.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { openAddon } from '../probe.ts';

export interface Argument {
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Bits of activations, and of keys and values. */
  readonly bits: number;
  readonly cacheBits: number;
}

/** Microseconds of one layer and token, the fastest of many calls. */
export type Parts = Readonly<Record<'R3' | 'R4' | 'quantizers' | 'P₁ ⊗ P₂' | 'groups of 64', number>>;

const ROUNDS = 4000;
/** In memory of their own each: where it lies, a call of some microseconds takes longer or less long. */
const TURNS = 12;

const argument = JSON.parse(process.argv[2]!) as Argument;
const { hidden, intermediate, heads, kvHeads, headDim, bits, cacheBits } = argument;
const { addon, isa } = openAddon();

function noise(...dims: number[]): ProbeTensor {
  const count = dims.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length: count }, (_, i) => Math.sin(i * i + i)), dims };
}

function microseconds(
  name: string,
  attributes: Readonly<Record<string, number>>,
  inputs: readonly (ProbeTensor | null)[],
  outputs: readonly (Float32Array | Int8Array)[],
): number {
  return 1e6 * Math.min(...addon.runOperator(name, isa, attributes, inputs, [...outputs], 1, ROUNDS));
}

function transform(n: number) {
  const { order, matrix } = planHadamard(n);
  const m = matrix && { data: Float32Array.from(matrix), dims: [order, order] };
  return { attributes: { block: n, order, scale: 1 / Math.sqrt(n), transpose: 0 }, m };
}

/** One panel of a weight: the shortest product. */
function panel(columns: number, spans = 1): ProbeTensor[] {
  const blocks = columns / 8;
  return [{ data: new Int8Array(blocks * 64), dims: [1, blocks, 64] }, noise(1, 2 * spans, 16)];
}

const rule = { bits, symmetric: 0, include_zero: 1, clip_ratio: 1 };

/** A product with one panel, and with two: the difference is a product without a quantizer. */
function quantizing(columns: number, spans = 1): number {
  const attributes = {
    ...{ ...rule, rows: 16, rows2: 0, group: columns / spans },
    ...{ activation_group: columns / spans, zero_points: 0 },
  };
  const [x, y] = [noise(1, columns), () => new Float32Array(16)];
  const one = microseconds('Int4MatMul', attributes, [x, ...panel(columns, spans)], [y()]);
  const two = microseconds(
    'Int4MatMul',
    { ...attributes, rows2: 16 },
    [x, ...panel(columns, spans), ...panel(columns, spans)],
    [y(), y()],
  );
  return one - (two - one);
}

function r4(): number {
  const { attributes, m } = transform(intermediate);
  const product = { ...rule, rows: 16, group: 0, activation_group: 0, zero_points: 0 };
  const rows = [noise(1, intermediate), noise(1, intermediate), ...panel(intermediate)];
  const y = [new Float32Array(16)];
  const withR4 = microseconds('SwiGluInt4MatMul', { ...product, ...attributes }, [...rows, m], y);
  return withR4 - microseconds('SwiGluInt4MatMul', product, rows, y);
}

/** FlatQuant's map in a product: what a product with it takes beyond one without. */
function kronecker(columns: number, swiGlu: boolean): number {
  const [left, right] = kroneckerFactors(columns);
  const product = { ...rule, rows: 16, group: 0, activation_group: 0, zero_points: 0 };
  const rows = swiGlu ? [noise(1, columns), noise(1, columns)] : [noise(1, columns)];
  const numbers = noise(columns + left ** 2 + right ** 2);
  const y = [new Float32Array(16)];
  const name = (map: string): string => `${swiGlu ? 'SwiGlu' : ''}${map}Int4MatMul`;
  const inputs = [...rows, numbers, ...panel(columns)];
  const mapped = microseconds(name('Kronecker'), { ...product, left }, inputs, y);
  return mapped - microseconds(name(''), product, [...rows, ...panel(columns)], y);
}

/**
 * A weight [outputs, columns] times a token with a scale for 64 channels, beyond one with a scale for all. Few rows, which
 * stay in the cache, are measured twice: what a row adds is taken for all of them.
 */
function grouping(outputs: number, columns: number): number {
  const of = (rows: number, spans: number): number => {
    const panels = rows / 16;
    const codes = { data: new Int8Array(panels * columns * 8), dims: [panels, columns / 8, 64] };
    const attributes = { ...rule, rows, group: 0, zero_points: 0, activation_group: columns / spans };
    const inputs = [noise(1, columns), codes, noise(panels, spans + 1, 16)];
    return microseconds('Int4MatMul', attributes, inputs, [new Float32Array(rows)]);
  };
  const added = (rows: number): number => {
    const turns = Array.from({ length: TURNS }, () => [of(rows, columns / 64), of(rows, 1)] as const);
    return Math.min(...turns.map(([groups]) => groups)) - Math.min(...turns.map(([, whole]) => whole));
  };
  const [few, more] = [16, 256];
  const least = added(few);
  return least + ((added(more) - least) / (more - few)) * (outputs - few);
}

/** Keys or values of one token; those of keys with RoPE. */
function packing(keys: 0 | 1, attributes: Readonly<Record<string, number>>, m: ProbeTensor | null): number {
  const form = { ...rule, bits: cacheBits, group: 0, keys, heads: kvHeads, tokens: 1 };
  const blockBytes = (16 * headDim * (cacheBits > 4 ? 8 : 4)) / 8 + 32;
  const tables = [noise(1, headDim / 2), noise(1, headDim / 2)];
  return microseconds(
    'PackCache',
    { ...form, ...attributes },
    [noise(1, kvHeads * headDim), ...(keys === 1 ? [...tables, m] : [])],
    [new Int8Array(kvHeads * blockBytes), new Float32Array(kvHeads * 16)],
  );
}

function r3(): number {
  const { attributes, m } = transform(headDim);
  const tables = [noise(1, headDim / 2), noise(1, headDim / 2)];
  const rows = [noise(1, heads * headDim), ...tables, m];
  const y = [new Float32Array(heads * headDim)];
  const shape = { heads, tokens: 1, groups: kvHeads };
  const turned = microseconds('RotaryHeads', { ...shape, ...attributes }, rows, y);
  const queries = turned - microseconds('RotaryHeads', shape, rows, y);
  return queries + packing(1, attributes, m) - packing(1, {}, null);
}

const qkv = (heads + 2 * kvHeads) * headDim;
const parts: Parts = {
  R3: r3(),
  R4: r4(),
  // The inputs of q, k and v, of o, of gate and up, and of down are rounded; so are keys, whose time has RoPE in it, and values.
  quantizers:
    2 * quantizing(hidden) +
    quantizing(heads * headDim, heads) +
    quantizing(intermediate) +
    packing(1, {}, null) +
    packing(0, {}, null),
  // In front of q, k and v, of gate and up, and of down.
  'P₁ ⊗ P₂': 2 * kronecker(hidden, false) + kronecker(intermediate, true),
  'groups of 64': grouping(qkv, hidden) + grouping(2 * intermediate, hidden) + grouping(hidden, intermediate),
};
console.log(JSON.stringify(parts));
