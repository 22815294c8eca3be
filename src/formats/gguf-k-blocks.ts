/**
 * Values of GGUF's blocks of 256 neighbours of a row ("K-quants"). A block has one or two float16 scales d and m, and
 * whole numbers s_g, m_g that scale its 8 groups of 32 or 16 groups of 16.
 *
 * d s_g q has at most 24 bits, so it is exact in float32. In d s_g q − m m_g both terms are multiples of 2⁻²⁴ below
 * 2²⁸: their difference is exact in a double, and storing it rounds once, as the reference does.
 */
import { decodeLevels, half } from './gguf-blocks.ts';

/** Elements of a block. */
export const K_BLOCK = 256;

/**
 * x = d s_g q − m m_g with q of 2 bits, 16 groups.
 * Bytes: 16 of s_g (low nibble) and m_g (high nibble), 64 of q, d, m.
 */
export function decodeQ2_K(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const [d, m] = [half(bytes, start + 80), half(bytes, start + 82)];
  for (let i = 0; i < K_BLOCK; i++) {
    const scales = bytes[start + (i >> 4)]!;
    out[at + i] = d * (scales & 15) * twoBits(bytes, start + 16, i) - m * (scales >> 4);
  }
}

/**
 * x = d (s_g − 32) q, 16 groups; q is −4 … 3, where a mask's bit of 1 stands for nothing subtracted.
 * Bytes: 32 of the mask, 64 of q's two bits, 12 of s_g, d.
 */
export function decodeQ3_K(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start + 108);
  for (let i = 0; i < K_BLOCK; i++) {
    const group = i >> 4;
    const low = (bytes[start + 96 + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
    const high = (bytes[start + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
    const kept = (bytes[start + (i & 31)]! >> (i >> 5)) & 1;
    out[at + i] = d * ((low | (high << 4)) - 32) * (twoBits(bytes, start + 32, i) - (kept ? 0 : 4));
  }
}

/** 128 elements share 32 bytes: bits 0–1 are the first 32 elements, bits 2–3 the next and so on. */
function twoBits(bytes: Uint8Array, start: number, i: number): number {
  return (bytes[start + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
}

/** x = d s_g q − m m_g with q of 4 bits, 8 groups. Bytes: d, m, 12 of s_g and m_g, 128 of q. */
export function decodeQ4_K(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const [d, m] = [half(bytes, start), half(bytes, start + 2)];
  for (let i = 0; i < K_BLOCK; i++) {
    const group = i >> 5;
    const q = nibble(bytes, start + 16, i);
    out[at + i] = d * scaleOf(bytes, start + 4, group) * q - m * minimumOf(bytes, start + 4, group);
  }
}

/** As Q4_K with q of 5 bits. Bytes: d, m, 12 of s_g and m_g, 32 of the fifth bits, 128 of the others. */
export function decodeQ5_K(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const [d, m] = [half(bytes, start), half(bytes, start + 2)];
  for (let i = 0; i < K_BLOCK; i++) {
    const group = i >> 5;
    const fifth = (bytes[start + 16 + (i & 31)]! >> group) & 1;
    const q = nibble(bytes, start + 48, i) | (fifth << 4);
    out[at + i] = d * scaleOf(bytes, start + 4, group) * q - m * minimumOf(bytes, start + 4, group);
  }
}

/** 64 elements share 32 bytes: low nibbles are the first 32. */
function nibble(bytes: Uint8Array, start: number, i: number): number {
  const pair = bytes[start + 32 * (i >> 6) + (i & 31)]!;
  return (i & 32) === 0 ? pair & 15 : pair >> 4;
}

/**
 * s_g of 6 bits. Bytes 0–3 hold s_0 … s_3 and, in their upper two bits, those of s_4 … s_7; bytes 4–7 hold the m_g
 * likewise. The lower nibbles of s_4 … and m_4 … share bytes 8–11.
 */
function scaleOf(bytes: Uint8Array, start: number, group: number): number {
  if (group < 4) return bytes[start + group]! & 63;
  return (bytes[start + 4 + group]! & 15) | ((bytes[start + group - 4]! >> 6) << 4);
}

function minimumOf(bytes: Uint8Array, start: number, group: number): number {
  if (group < 4) return bytes[start + 4 + group]! & 63;
  return (bytes[start + 4 + group]! >> 4) | ((bytes[start + group]! >> 6) << 4);
}

/**
 * x = d s_g (q − 32) with int8 s_g and q of 6 bits, 16 groups.
 * Bytes: 128 of q's lower four bits (64 elements' low nibbles, then the next 64 as high ones), 64 of its upper two, 16 of
 * s_g, d.
 */
export function decodeQ6_K(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start + 208);
  for (let i = 0; i < K_BLOCK; i++) {
    const pair = bytes[start + 64 * (i >> 7) + (i & 63)]!;
    const low = (i & 64) === 0 ? pair & 15 : pair >> 4;
    const q = low | (twoBits(bytes, start + 128, i) << 4);
    const scale = (bytes[start + 192 + (i >> 4)]! << 24) >> 24;
    out[at + i] = d * scale * (q - 32);
  }
}

/** x = d (s_g − 32) L(q), 8 groups, with the levels L of IQ4. Bytes: d, 2 of upper and 4 of lower bits of s_g, 128 of q. */
export function decodeIQ4_XS(bytes: Uint8Array, start: number, out: Float32Array, at: number): void {
  const d = half(bytes, start);
  const upper = bytes[start + 2]! | (bytes[start + 3]! << 8);
  for (let group = 0; group < K_BLOCK / 32; group++) {
    const low = (bytes[start + 4 + (group >> 1)]! >> (4 * (group & 1))) & 15;
    const scale = low | (((upper >> (2 * group)) & 3) << 4);
    decodeLevels(d * (scale - 32), bytes, start + 8 + 16 * group, out, at + 32 * group);
  }
}
