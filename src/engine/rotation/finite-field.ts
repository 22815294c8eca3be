/** The finite field GF(q) has what Paley's Hadamard matrices need: differences and the quadratic character. */
export interface FiniteField {
  /** The number of elements is q = p^k with p an odd prime. */
  readonly order: number;
  /** χ(a) for each of the q elements: 0 for zero, 1 for a non-zero square, −1 for a non-square. */
  readonly character: Int8Array;
  /** Returns a − b. Elements are the integers 0..q−1, read as polynomials over GF(p) with digits in base p. */
  subtract(a: number, b: number): number;
}

interface PrimePower {
  readonly prime: number;
  readonly exponent: number;
}

/** Writes q as prime^exponent; null when q has two different prime factors or is below 2. */
export function primePower(q: number): PrimePower | null {
  if (!Number.isInteger(q) || q < 2) return null;
  let prime = 2;
  while (q % prime !== 0) prime += prime * prime > q ? q - prime : 1;
  let exponent = 0;
  let rest = q;
  while (rest % prime === 0) {
    rest /= prime;
    exponent += 1;
  }
  return rest === 1 ? { prime, exponent } : null;
}

/**
 * Makes GF(q) for an odd prime power q.
 * The representation is GF(p)[x] modulo a monic polynomial for which x generates the whole multiplicative group. Such a
 * polynomial is found by trial: only a primitive one lets the powers of x run through all q − 1 non-zero elements. The
 * squares are then the even powers of x.
 * @throws RangeError when q is not an odd prime power.
 */
export function finiteField(q: number): FiniteField {
  const power = primePower(q);
  if (power === null || power.prime === 2) throw new RangeError(`${q} is not a power of an odd prime`);
  for (let candidate = 0; candidate < q; candidate++) {
    const character = characterFromPowers(q, power.prime, candidate);
    if (character !== null) return { order: q, character, subtract: subtraction(q, power.prime) };
  }
  throw new Error(`no primitive polynomial found for GF(${q})`);
}

/**
 * Walks 1, x, x², … modulo x^k − r(x), where the digits of `remainder` in base p are the coefficients of r.
 * @returns the quadratic character when the walk meets every non-zero element once, else null.
 */
function characterFromPowers(q: number, prime: number, remainder: number): Int8Array | null {
  const character = new Int8Array(q);
  const top = q / prime;
  let element = 1;
  for (let step = 0; step < q - 1; step++) {
    if (element === 0 || character[element] !== 0) return null;
    character[element] = step % 2 === 0 ? 1 : -1;
    const lead = Math.floor(element / top);
    element = addMultiple((element % top) * prime, remainder, lead, prime);
  }
  return character;
}

/** Computes a + factor·b, digit by digit modulo p. */
function addMultiple(a: number, b: number, factor: number, prime: number): number {
  let sum = 0;
  let place = 1;
  let left = a;
  let right = b;
  while (left > 0 || right > 0) {
    sum += (((left % prime) + factor * (right % prime)) % prime) * place;
    left = Math.floor(left / prime);
    right = Math.floor(right / prime);
    place *= prime;
  }
  return sum;
}

function subtraction(q: number, prime: number): (a: number, b: number) => number {
  if (q === prime) return (a, b) => (a >= b ? a - b : a - b + q);
  return (a, b) => addMultiple(a, b, prime - 1, prime);
}
