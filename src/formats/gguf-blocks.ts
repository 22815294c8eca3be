/** Values of GGUF's blocks of 32 neighbours of a row. d and m are float16; q is what the bits hold. */
import { float16Value } from './float-bits.ts';

/** Elements of a block. */
export const BLOCK = 32;

/** Writes the values of one block, whose first byte is `bytes[start]`, into `out` from `at` on. */
export type DecodeBlock = (bytes: Uint8Array, start: number, out: Float32Array, at: number) => void;

/** IQ4's sixteen levels, which lie closer together near zero. */
export const IQ4_LEVELS = Int8Array.of(
  ...[-127, -104, -83, -65, -49, -35, -22, -10],
  ...[1, 13, 25, 38, 53, 69, 89, 113],
);

export function half(bytes: Uint8Array, at: number): number {
  return float16Value(bytes[at]! | (bytes[at + 1]! << 8));
}

/** x_i = d q_i, stored as d and 32 int8 q. */
export function decodeQ8_0(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  for (let i = 0; i < BLOCK; i++) out[at + i] = d * ((bytes[start + 2 + i]! << 24) >> 24);
}

/** x_i = d (q_i − 8), stored as d and 16 bytes: low nibbles are elements 0–15, high nibbles 16–31. */
export function decodeQ4_0(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = bytes[start + 2 + i]!;
    out[at + i] = d * ((pair & 15) - 8);
    out[at + BLOCK / 2 + i] = d * ((pair >> 4) - 8);
  }
}

/** x_i = d q_i + m, stored as d and m, then nibbles as in Q4_0. */
export function decodeQ4_1(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  const m = half(bytes, start + 2);
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = bytes[start + 4 + i]!;
    out[at + i] = d * (pair & 15) + m;
    out[at + BLOCK / 2 + i] = d * (pair >> 4) + m;
  }
}

/** x_i = d (q_i − 16), stored as d, the fifth bits of all q in 4 bytes, then nibbles as in Q4_0. */
export function decodeQ5_0(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  for (let i = 0; i < BLOCK; i++) out[at + i] = d * (fiveBits(bytes, start + 2, i) - 16);
}

/** x_i = d q_i + m, stored as d and m, then as in Q5_0. */
export function decodeQ5_1(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  const m = half(bytes, start + 2);
  for (let i = 0; i < BLOCK; i++) out[at + i] = d * fiveBits(bytes, start + 4, i) + m;
}

function fiveBits(bytes: Uint8Array, start: number, i: number): number {
  const pair = bytes[start + 4 + (i % (BLOCK / 2))]!;
  const low = i < BLOCK / 2 ? pair & 15 : pair >> 4;
  return low | (((bytes[start + (i >> 3)]! >> (i & 7)) & 1) << 4);
}

/** x_i = d L(q_i) with the levels L of IQ4, stored as in Q4_0. */
export function decodeIQ4_NL(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  decodeLevels(half(bytes, start), bytes, start + 2, out, at);
}

/** x_i = d L(q_i) of 32 nibbles, which lie as in Q4_0. */
export function decodeLevels(
  d: number,
  bytes: Uint8Array,
  start: number,
  out: Float32Array,
  at: number,
): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    const pair = bytes[start + i]!;
    out[at + i] = d * IQ4_LEVELS[pair & 15]!;
    out[at + BLOCK / 2 + i] = d * IQ4_LEVELS[pair >> 4]!;
  }
}
