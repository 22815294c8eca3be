/** This file converts between float32 and the two 16-bit floating-point formats, which travel as raw bits. */

let halfTable: Float32Array | undefined;

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  // A subnormal has the exponent of the smallest normal number and no hidden bit.
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** All 65536 float16 values: a table lookup is several times faster than arithmetic per element. */
function halfValues(): Float32Array {
  if (!halfTable) {
    halfTable = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) halfTable[bits] = halfValue(bits);
  }
  return halfTable;
}

/** Returns the value of one float16, given as its bits. */
export function float16Value(bits: number): number {
  return halfValues()[bits]!;
}

/** Converts float16 bits to float32 exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const values = halfValues();
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = values[bits[i]!]!;
  return out;
}

/** Converts bfloat16 bits to float32 exactly: bfloat16 is the upper half of a float32. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** Converts float32 to bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < source.length; i++) {
    const word = source[i]!;
    // A NaN whose payload lies in the lower half would round to infinity: set a bit that survives.
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = (word >>> 16) | 0x40;
    else out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** Float32 bits without the sign: infinity, and where float16 has no more numbers, or no more normal ones. */
const INFINITY = 0x7f800000;
/** 65520, half of the gap between the largest float16 and the next power of two, rounds to infinity. */
const TOO_LARGE = 0x477ff000;
const SMALLEST_NORMAL = 0x38800000;
/** The exponent of 2⁻²⁵: what is below it rounds to zero. */
const LEAST_EXPONENT = 102;

/** @param size bits of a float32 below 2⁻¹⁴, without the sign. @returns its multiple of 2⁻²⁴. */
function subnormalBits(size: number): number {
  const exponent = size >>> 23;
  if (exponent < LEAST_EXPONENT) return 0;
  const digits = (size & 0x7fffff) | 0x800000;
  const shift = 126 - exponent;
  const whole = digits >>> shift;
  // Half a step less one, and one more where the last digit is odd: ties go to even.
  return (digits + (1 << (shift - 1)) - 1 + (whole & 1)) >>> shift;
}

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fffffff;
  if (size > INFINITY) return 0x7e00;
  if (size >= TOO_LARGE) return sign | 0x7c00;
  if (size < SMALLEST_NORMAL) return sign | subnormalBits(size);
  // A carry out of the fraction raises the exponent.
  return sign | ((size - (SMALLEST_NORMAL - (1 << 23)) + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

/** Converts float32 to float16 bits, rounded to nearest, ties to even; values out of range become infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < source.length; i++) out[i] = halfBits(source[i]!);
  return out;
}
