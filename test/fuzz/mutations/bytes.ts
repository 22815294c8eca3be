import type { Dice } from './dice.ts';

/** Changes a file. @param others more files of the same format, to join parts of. */
export type Mutation = (input: Buffer, dice: Dice, others: readonly Buffer[]) => Buffer;

/** Values at which lengths, counts and offsets go wrong. */
const INTEGERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  -1n,
  -2n,
  127n,
  128n,
  255n,
  65_535n,
  65_536n,
  1n << 24n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 8n,
];
const FLOATS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-45, 3.4e38, -1, 1e4];
const RUNS = [0x00, 0xff, 0x80, 0x7f, 0x20, 0x0a, 0x5b, 0x22];

/** Replaces bytes, and keeps the length where they fit. */
function put(input: Buffer, at: number, bytes: Uint8Array): Buffer {
  const out = Buffer.from(input);
  out.set(bytes.subarray(0, Math.max(0, out.length - at)), at);
  return out;
}

function cut(input: Buffer, from: number, to: number, between: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([input.subarray(0, from), between, input.subarray(to)]);
}

/** A place in the file: headers matter more than data. */
function place(input: Buffer, dice: Dice): number {
  return dice.chance(0.5) ? dice.below(Math.min(input.length, 256)) : dice.below(input.length);
}

const flipBits: Mutation = (input, dice) => {
  const out = Buffer.from(input);
  for (let left = dice.length(8); left > 0 && out.length > 0; left--) {
    const at = place(out, dice);
    out[at] = out[at]! ^ (1 << dice.below(8));
  }
  return out;
};

const setRun: Mutation = (input, dice) =>
  put(input, place(input, dice), Buffer.alloc(dice.length(input.length), dice.pick(RUNS)));

const randomRun: Mutation = (input, dice) =>
  put(input, place(input, dice), Buffer.from(Array.from({ length: dice.length(64) }, () => dice.below(256))));

const truncate: Mutation = (input, dice) => input.subarray(0, place(input, dice));

const extend: Mutation = (input, dice) =>
  Buffer.concat([input, Buffer.alloc(dice.length(4096), dice.pick(RUNS))]);

const duplicate: Mutation = (input, dice) => {
  const from = place(input, dice);
  return cut(input, from, from, input.subarray(from, from + dice.length(input.length)));
};

const remove: Mutation = (input, dice) => {
  const from = place(input, dice);
  return cut(input, from, from + dice.length(input.length));
};

const exchange: Mutation = (input, dice) => {
  const length = dice.length(64);
  const [a, b] = [place(input, dice), place(input, dice)];
  return put(put(input, a, input.subarray(b, b + length)), b, input.subarray(a, a + length));
};

/** Writes a number over whatever lies there; counts and lengths are often aligned. */
const putNumber: Mutation = (input, dice) => {
  const bytes = Buffer.alloc(8);
  const width = dice.pick([1, 2, 4, 8]);
  const isFloat = width >= 4 && dice.chance(0.25);
  if (isFloat && width === 4) bytes.writeFloatLE(dice.pick(FLOATS));
  else if (isFloat) bytes.writeDoubleLE(dice.pick(FLOATS));
  else bytes.writeBigInt64LE(BigInt.asIntN(64, dice.pick(INTEGERS)));
  const at = place(input, dice);
  return put(input, dice.chance(0.7) ? at - (at % width) : at, bytes.subarray(0, width));
};

/** Adds a little to a byte: counts that are off by one. */
const nudge: Mutation = (input, dice) => {
  if (input.length === 0) return input;
  const at = place(input, dice);
  return put(input, at, Buffer.of((input[at]! + dice.pick([1, -1, 2, -2, 16])) & 255));
};

const splice: Mutation = (input, dice, others) => {
  const other = dice.pick(others);
  const at = place(input, dice);
  const from = dice.chance(0.5) ? at : place(other, dice);
  return Buffer.concat([input.subarray(0, at), other.subarray(from)]);
};

const empty: Mutation = (_, dice) => Buffer.alloc(dice.pick([0, 0, 1, 7, 8, 9]), dice.pick(RUNS));

const MUTATIONS: readonly Mutation[] = [
  flipBits,
  flipBits,
  setRun,
  randomRun,
  truncate,
  extend,
  duplicate,
  remove,
  exchange,
  putNumber,
  putNumber,
  putNumber,
  nudge,
  splice,
];

/** Damages a file of any kind in one to four places. */
export const mutateBytes: Mutation = (input, dice, others) => {
  if (dice.chance(0.005)) return empty(input, dice, others);
  let out = input;
  for (let left = dice.pick([1, 1, 1, 2, 4]); left > 0; left--) out = dice.pick(MUTATIONS)(out, dice, others);
  return out;
};
