import type { GgufFile } from '../../../formats/gguf.ts';
import { UserError } from '../../../protocol/errors.ts';

/** Reads the key-value pairs of a GGUF file by type. An absent key is undefined; a wrong value is a UserError. */
export class GgufFields {
  readonly path: string;
  private readonly metadata: ReadonlyMap<string, unknown>;

  constructor(file: Pick<GgufFile, 'path' | 'metadata'>) {
    this.path = file.path;
    this.metadata = file.metadata;
  }

  text(key: string): string | undefined {
    const value = this.metadata.get(key);
    return value === undefined || typeof value === 'string' ? value : this.fail(key, 'a text');
  }

  flag(key: string): boolean | undefined {
    const value = this.metadata.get(key);
    return value === undefined || typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  /** Reads a whole number of at least 0. A list of equal numbers, which per-layer keys may be, counts as one. */
  whole(key: string): number | undefined {
    const found = this.metadata.get(key);
    const same = Array.isArray(found) && new Set(found).size === 1;
    const value: unknown = same ? found[0] : found;
    if (value === undefined) return undefined;
    const number = typeof value === 'bigint' ? Number(value) : value;
    return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0
      ? number
      : this.fail(key, 'a whole number, the same for all layers');
  }

  /** Reads a whole number of at least 1. @throws UserError when the key is missing. */
  count(key: string): number {
    return this.whole(key) || this.fail(key, 'a whole number of at least 1');
  }

  /** Reads a number above 0. Files hold float32, so 9.99999974e-6 is read as the 1e-5 that was meant. */
  positive(key: string): number | undefined {
    const value = this.metadata.get(key);
    if (value === undefined) return undefined;
    return typeof value === 'number' && Number.isFinite(value) && value > 0
      ? shortestFloat32(value)
      : this.fail(key, 'a number above 0');
  }

  texts(key: string): readonly string[] | undefined {
    const value = this.list(key, 'a list of texts');
    return value === undefined || value.every((item) => typeof item === 'string')
      ? (value as string[] | undefined)
      : this.fail(key, 'a list of texts');
  }

  numbers(key: string): readonly number[] | undefined {
    const value = this.list(key, 'a list of numbers');
    return value === undefined || value.every((item) => typeof item === 'number')
      ? (value as number[] | undefined)
      : this.fail(key, 'a list of numbers');
  }

  flags(key: string): readonly boolean[] | undefined {
    const value = this.list(key, 'a list of true and false');
    return value === undefined || value.every((item) => typeof item === 'boolean')
      ? (value as boolean[] | undefined)
      : this.fail(key, 'a list of true and false');
  }

  has(key: string): boolean {
    return this.metadata.has(key);
  }

  private list(key: string, allowed: string): readonly unknown[] | undefined {
    const value = this.metadata.get(key);
    return value === undefined || Array.isArray(value) ? value : this.fail(key, allowed);
  }

  fail(key: string, allowed: string): never {
    const value = this.metadata.get(key);
    const shown = typeof value === 'bigint' ? String(value) : JSON.stringify(value);
    const found = value === undefined ? 'is missing' : `is ${shown?.slice(0, 60)}`;
    throw new UserError(
      'gguf/metadata',
      `${this.path}: ${key} ${found}; it must be ${allowed}.`,
      'Convert the model again with a current version of llama.cpp.',
    );
  }
}

/** Returns the shortest decimal number that rounds to the same float32; a float64 that is not a float32 stays. */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
