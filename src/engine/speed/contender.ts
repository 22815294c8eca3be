import type { ContenderName, Rate, TextSizes } from '../../protocol/speed.ts';
import { prefill } from '../generate/continue-text.ts';
import type { SeekingReader } from '../generate/decoder.ts';

/** One whose speed is measured. */
export interface Contender {
  readonly name: ContenderName;
  /** False where it warms up by itself. */
  readonly warmsUp: boolean;
  /** Reads a prompt, and tokens behind it. @returns the seconds of both. */
  text(signal?: AbortSignal): Promise<{ readonly prompt: number; readonly decode: number }>;
  /** Forgets all tokens. */
  rewind(): void;
  /** Reads a few tokens behind so many, which are read before unless they have been. @returns seconds of the few. */
  behind(depth: number, tokens: number, signal?: AbortSignal): Promise<number>;
}

/** Rates of rounds that took so many seconds for so many tokens. */
export function rateOf(tokens: number, seconds: readonly number[]): Rate {
  const rates = seconds.map((it) => tokens / it).sort((a, b) => b - a);
  const middle = rates.length >> 1;
  const [high = 0, low = 0] = [rates[rates.length % 2 === 0 ? middle - 1 : middle], rates[middle]];
  return { fastest: rates[0] ?? 0, median: (high + low) / 2, slowest: rates.at(-1) ?? 0 };
}

/** A reader of one sequence in this process. Tokens are given to it: no time goes into choosing them. */
export class ReadingContender implements Contender {
  readonly name: ContenderName;
  readonly warmsUp = true;
  readonly #reader: SeekingReader;
  /** Tokens of the one text behind which all are measured. */
  #read = 0;
  /** Tokens of the longest text. */
  readonly #ids: Int32Array;
  readonly #sizes: TextSizes;

  constructor(name: ContenderName, reader: SeekingReader, ids: Int32Array, sizes: TextSizes) {
    this.name = name;
    this.#reader = reader;
    this.#ids = ids;
    this.#sizes = sizes;
  }

  rewind(): void {
    this.#reader.rewind();
    this.#read = 0;
  }

  async text(signal?: AbortSignal): Promise<{ prompt: number; decode: number }> {
    const { promptTokens, tokens } = this.#sizes;
    this.rewind();
    const prompt = await timed(() => prefill(this.#reader, this.#ids.subarray(0, promptTokens), signal));
    return { prompt, decode: await this.#oneByOne(tokens, signal) };
  }

  async behind(depth: number, tokens: number, signal?: AbortSignal): Promise<number> {
    this.#reader.seek(Math.min(depth, this.#read));
    const { length } = this.#reader;
    if (length < depth) await prefill(this.#reader, this.#ids.subarray(length, depth), signal);
    const seconds = await this.#oneByOne(tokens, signal);
    this.#read = Math.max(this.#read, depth + tokens);
    return seconds;
  }

  #oneByOne(tokens: number, signal?: AbortSignal): Promise<number> {
    const reader = this.#reader;
    return timed(async () => {
      for (let i = 0; i < tokens; i++)
        await reader.next(this.#ids.subarray(reader.length, reader.length + 1), signal);
    });
  }
}

/** Seconds that work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
