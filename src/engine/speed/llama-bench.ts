/** llama.cpp beside us, by its own measuring program, which is no part of this product. */
import { execFile } from 'node:child_process';
import { z } from 'zod';
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import type { TextSizes } from '../../protocol/speed.ts';
import type { Contender } from './contender.ts';

/** `llama-bench`, or a program that takes its options and prints its JSON; and a model file. */
export interface LlamaBench {
  readonly program: string;
  readonly gguf: string;
}

/** What is read of a test: the nanoseconds of each repetition. */
const testSchema = z.object({
  n_prompt: z.number(),
  n_gen: z.number(),
  samples_ns: z.array(z.number().positive()).min(1),
});
const testsSchema = z.array(testSchema).min(1);

interface Test {
  readonly prompt: number;
  readonly generated: number;
  /** Tokens before those that are measured. */
  readonly depth: number;
}

export class LlamaContender implements Contender {
  readonly name = 'llama.cpp';
  readonly warmsUp = false;
  readonly #bench: LlamaBench;
  readonly #threads: number;
  readonly #sizes: TextSizes;

  constructor(bench: LlamaBench, threads: number, sizes: TextSizes) {
    this.#bench = bench;
    this.#threads = threads;
    this.#sizes = sizes;
  }

  async text(signal?: AbortSignal): Promise<{ prompt: number; decode: number }> {
    const { promptTokens, tokens } = this.#sizes;
    const prompt = await this.#seconds({ prompt: promptTokens, generated: 0, depth: 0 }, signal);
    const decode = await this.#seconds({ prompt: 0, generated: tokens, depth: promptTokens }, signal);
    return { prompt, decode };
  }

  /** Every call is a process of its own. */
  rewind(): void {}

  behind(depth: number, tokens: number, signal?: AbortSignal): Promise<number> {
    return this.#seconds({ prompt: 0, generated: tokens, depth }, signal);
  }

  async #seconds({ prompt, generated, depth }: Test, signal?: AbortSignal): Promise<number> {
    const { program, gguf } = this.#bench;
    const size = ['-p', prompt, '-n', generated, '-d', depth].map(String);
    const words = ['-m', gguf, ...size, '-t', String(this.#threads), '-r', '1', '-o', 'json'];
    const tests = parseTests(program, await outputOf(program, words, signal));
    const found = tests.find((test) => test.n_prompt === prompt && test.n_gen === generated);
    if (!found) throw unreadable(program, `it printed no test of ${prompt} and ${generated} tokens`);
    return Math.min(...found.samples_ns) / 1e9;
  }
}

/** @throws UserError `bench/llama-bench`. */
function parseTests(program: string, text: string): z.infer<typeof testsSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable(program, `it printed no JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
  const found = testsSchema.safeParse(value);
  if (found.success) return found.data;
  throw unreadable(program, 'its JSON is no list of tests with n_prompt, n_gen and samples_ns');
}

/** @throws UserError `bench/llama-bench`, Cancelled. */
function outputOf(program: string, words: readonly string[], signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, words, { ...(signal && { signal }), maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      if (signal?.aborted) return reject(new Cancelled());
      const last = stderr.trim().split('\n').at(-1) ?? '';
      reject(unreadable(program, last === '' ? messageOf(error) : last));
    });
  });
}

const unreadable = (program: string, what: string): UserError =>
  new UserError(
    'bench/llama-bench',
    `${program} could not be measured with: ${what}.`,
    'Name with --llama-bench the program of that name in the releases of llama.cpp, or one that takes its options.',
  );
