import { parseJson } from '../../disk/json.ts';
import { UserError } from '../../protocol/errors.ts';

/** Reads the keys of a config.json object with their types; null counts as absent where there is a default. */
export class ConfigFields {
  readonly path: string;
  private readonly object: Readonly<Record<string, unknown>>;

  private constructor(path: string, object: Readonly<Record<string, unknown>>) {
    this.path = path;
    this.object = object;
  }

  static parse(path: string, text: string): ConfigFields {
    const value = parseJson(text, path, { code: 'model/json' });
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new UserError('model/json', `${path} is not a JSON object.`, 'Repair or download it again.');
    }
    return new ConfigFields(path, value as Record<string, unknown>);
  }

  /** Returns the fields of a nested object; undefined when absent or null. Messages prefix its keys with its name. */
  nested(key: string): ConfigFields | undefined {
    const value = this.value(key);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return this.fail(key, 'an object');
    return new ConfigFields(`${this.path}: ${key}`, value as Record<string, unknown>);
  }

  value(key: string): unknown {
    return Object.hasOwn(this.object, key) ? this.object[key] : undefined;
  }

  /** Reads a whole number from 1 to `most`. */
  count(key: string, fallback?: number, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.value(key) ?? fallback;
    if (value === fallback && fallback !== undefined) return fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
    const bound = most === Number.MAX_SAFE_INTEGER ? 'of at least 1' : `from 1 to ${most}`;
    return this.fail(key, `a whole number ${bound}`);
  }

  positive(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    return this.fail(key, 'a number above 0');
  }

  /** Reads a list of so many numbers above 0. */
  positives(key: string, length: number): readonly number[] {
    const value = this.value(key);
    const isPositive = (one: unknown): one is number =>
      typeof one === 'number' && Number.isFinite(one) && one > 0;
    if (Array.isArray(value) && value.length === length && value.every(isPositive)) return value;
    return this.fail(key, `a list of ${length} numbers above 0`);
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    return typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  fail(key: string, allowed: string): never {
    const value = this.value(key);
    // JSON has no word for numbers that are not finite, which Python writes.
    const shown = typeof value === 'number' ? String(value) : JSON.stringify(value);
    const found = value === undefined ? 'is missing' : `is ${shown}`;
    throw new UserError(
      'model/config-value',
      `${this.path}: ${key} ${found}; it must be ${allowed}.`,
      'Check config.json against the model card.',
    );
  }
}
