/** A stream's position, from which another process can go on. It is plain numbers, so JSON keeps it exactly. */
export interface RngState {
  /** The stream's identity: four unsigned 32-bit words, from which {@link Rng.split} derives others. */
  readonly key: readonly [number, number, number, number];
  /** The generator's state: four unsigned 32-bit words, not all zero. */
  readonly words: readonly [number, number, number, number];
}

type Words = [number, number, number, number];

/**
 * Our pseudo-random numbers come from xoshiro128** 1.1 (Blackman & Vigna 2018) with period 2^128 − 1. It uses 32-bit
 * integer arithmetic only, so a seed gives the same bits on every machine. It is not for cryptography.
 */
export class Rng {
  readonly #key: Words;
  readonly #words: Words;

  /**
   * @param seed an integer, or the state of an earlier stream.
   * @throws RangeError when the seed is not a safe integer or the state is not valid.
   */
  constructor(seed: number | RngState) {
    if (typeof seed === 'number') {
      if (!Number.isSafeInteger(seed)) throw new RangeError(`a seed must be an integer, not ${seed}`);
      this.#key = spread([seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, 0x9e3779b9, 0x7f4a7c15]);
      this.#words = expand(this.#key);
    } else {
      checkState(seed);
      this.#key = [...seed.key];
      this.#words = [...seed.words];
    }
  }

  /** A copy of the current state. */
  get state(): RngState {
    return { key: [...this.#key], words: [...this.#words] };
  }

  /**
   * Returns an independent stream named by the label. It depends on this stream's seed and on the label, not on how
   * many numbers were drawn. So a new draw in one place leaves every other stream as it was.
   */
  split(label: number | string): Rng {
    const [a, b, c, d] = this.#key;
    const [p, q] = hashLabel(typeof label === 'number' ? `#${label}` : label);
    const key = spread([a ^ p, b ^ q, c + p, d + q]);
    return new Rng({ key, words: expand(key) });
  }

  /** Returns the next 32 bits, 0 … 2^32 − 1. */
  uint32(): number {
    const s = this.#words;
    const scrambled = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] = (s[2] ^ s[0]) >>> 0;
    s[3] = (s[3] ^ s[1]) >>> 0;
    s[1] = (s[1] ^ s[2]) >>> 0;
    s[0] = (s[0] ^ s[3]) >>> 0;
    s[2] = (s[2] ^ shifted) >>> 0;
    s[3] = rotateLeft(s[3], 11) >>> 0;
    return scrambled;
  }

  /** Returns a uniform number in [0, 1) with 53 random bits. */
  uniform(): number {
    const high = this.uint32() >>> 5;
    const low = this.uint32() >>> 6;
    return (high * 2 ** 26 + low) * 2 ** -53;
  }

  /** Returns a uniform integer in [0, bound), without bias; bound is from 1 to 2^32. */
  integer(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let draw = this.uint32();
    while (draw >= limit) draw = this.uint32();
    return draw % bound;
  }

  /** Numbers 0 … length − 1 in an order that is drawn, each as likely. */
  permutation(length: number): number[] {
    const order = Array.from({ length }, (_, index) => index);
    for (let i = length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }

  /** Returns −1 or +1, each with probability ½, from the top bit of one draw. */
  sign(): 1 | -1 {
    return this.uint32() >= 2 ** 31 ? -1 : 1;
  }

  /** Fills the target with standard normal variates (Box–Muller, two from two uniforms) and returns it. */
  fillNormal<T extends Float64Array | Float32Array>(target: T): T {
    for (let i = 0; i < target.length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
      const angle = 2 * Math.PI * this.uniform();
      target[i] = radius * Math.cos(angle);
      if (i + 1 < target.length) target[i + 1] = radius * Math.sin(angle);
    }
    return target;
  }

  /** One standard normal variate. */
  normal(): number {
    return this.fillNormal(new Float64Array(1))[0]!;
  }
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

function checkState({ key, words }: RngState): void {
  const isWord = (word: number) => Number.isInteger(word) && word >= 0 && word < 2 ** 32;
  const valid = key.length === 4 && words.length === 4 && [...key, ...words].every(isWord);
  if (!valid || words.every((word) => word === 0)) {
    throw new RangeError(
      'a random state needs four 32-bit words in key and in words, the latter not all zero',
    );
  }
}

/** MurmurHash3's finalizer is a bijection of 32-bit words in which every input bit reaches every output bit. */
function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Mixes each word with its neighbour in two rounds. This is a bijection, so different keys stay different. */
function spread(words: Words): Words {
  const out: Words = [words[0] >>> 0, words[1] >>> 0, words[2] >>> 0, words[3] >>> 0];
  for (let round = 0; round < 8; round++) {
    const at = round % 4;
    const previous = out[(at + 3) % 4]!;
    out[at] = mix(out[at]! ^ mix(previous + Math.imul(round + 1, 0x9e3779b9)));
  }
  return out;
}

/** Makes the initial words from a key. It avoids the generator's one forbidden state, all zero. */
function expand(key: Words): Words {
  const words = spread([key[0] ^ 0x243f6a88, key[1] ^ 0x85a308d3, key[2] ^ 0x13198a2e, key[3] ^ 0x03707344]);
  if (words.every((word) => word === 0)) words[0] = 1;
  return words;
}

/** Returns two 32-bit hashes of a label (FNV-1a over UTF-16 units with two bases, finalized). */
function hashLabel(label: string): [number, number] {
  let a = 0x811c9dc5;
  let b = 0xc9dc5118;
  for (let i = 0; i < label.length; i++) {
    a = Math.imul(a ^ label.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ label.charCodeAt(i), 0x01000193) + 0x9e3779b9;
  }
  return [mix(a), mix(b)];
}
