import { Cancelled, UserError } from '../../protocol/errors.ts';
import type { GenerationEvent, TextEnd, WrittenText } from '../../protocol/generation.ts';
import { Rng } from '../rotation/random.ts';
import { readerOf, type TokenReader, type WritingNetwork } from './decoder.ts';
import { StopStrings } from './stop-strings.ts';
import { chooseToken, logProbability, type TokenChoice } from './token-choice.ts';
import { TokenText } from './token-text.ts';

export interface TextTask {
  /** Tokens of the prompt, at least one. */
  readonly prompt: Int32Array;
  /** Tokens that are written at most. */
  readonly tokens: number;
  readonly choice: TokenChoice;
  /** Decides every draw. */
  readonly seed: number;
  /** Strings that end the text, none empty. */
  readonly stops: readonly string[];
  /** Tokens that end the text. */
  readonly endTokens: ReadonlySet<number>;
  /** Takes the logits [V] that a token is chosen by, valid until it returns. */
  readonly see?: ((logits: Float32Array) => void) | undefined;
}

/** A longer prompt is read in parts: composed operators hold the scores of all tokens of a part, for all before them. */
const PREFILL_TOKENS = 1024;

/**
 * Writes text behind a prompt, token by token. The prompt is read in one pass, or in passes of {@link PREFILL_TOKENS}.
 * The cache has room for prompt and text from the start, so that nothing is copied while it grows.
 * @param decode the text of tokens, without special ones.
 * @param signal ends the text where it is. What was written is returned. @throws Cancelled before the first token.
 */
export async function* continueText(
  network: WritingNetwork,
  decode: (ids: ArrayLike<number>) => string,
  task: TextTask,
  signal?: AbortSignal,
): AsyncGenerator<GenerationEvent, WrittenText> {
  const { prompt, tokens } = task;
  const decoder = readerOf(network, 1, prompt.length + tokens);
  // Weights and programs are made at the first token, and the time of the prompt is to be that of the prompt.
  await decoder.next(prompt.subarray(0, 1), signal);
  decoder.rewind();
  const writing = new Writing(decode, task);
  const began = performance.now();
  let first = began;
  let ended: TextEnd | null = null;
  try {
    let logits = await prefill(decoder, prompt, signal);
    first = performance.now();
    while (ended === null) {
      const event = writing.next(logits, decoder.partition ?? undefined);
      ended = writing.ended;
      yield event;
      if (ended === null) logits = await readNext(decoder, event.id, signal);
    }
  } catch (error) {
    if (!(error instanceof Cancelled) || writing.ids.length === 0) throw error;
    ended = 'cancelled';
  } finally {
    decoder.rewind();
  }
  const seconds = { prefill: (first - began) / 1000, decode: (performance.now() - first) / 1000 };
  const rest = writing.finish(ended);
  if (writing.stop !== null) ended = 'stop';
  yield { type: 'text-end', text: rest, ended };
  const { text, ids, stop } = writing;
  const tokensPerSecond = {
    prefill: prompt.length / seconds.prefill,
    decode: ids.length > 1 ? (ids.length - 1) / seconds.decode : null,
  };
  return { text, ids, ended, stop, seconds, tokensPerSecond };
}

/** @returns logits [V] of the token after the prompt. */
export async function prefill(
  decoder: TokenReader,
  prompt: Int32Array,
  signal?: AbortSignal,
): Promise<Float32Array> {
  let logits: Float32Array = new Float32Array();
  for (let from = 0; from < prompt.length; from += PREFILL_TOKENS)
    logits = (await decoder.next(prompt.subarray(from, from + PREFILL_TOKENS), signal)).data;
  return logits;
}

export async function readNext(
  decoder: TokenReader,
  id: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  return (await decoder.next(Int32Array.of(id), signal)).data;
}

/** A text as far as it is written. */
class Writing {
  readonly ids: number[] = [];
  text = '';
  stop: string | null = null;
  ended: TextEnd | null = null;
  readonly #task: TextTask;
  readonly #before: Set<number>;
  readonly #rng: Rng;
  readonly #pieces: TokenText;
  readonly #stops: StopStrings;

  constructor(decode: (ids: ArrayLike<number>) => string, task: TextTask) {
    this.#task = task;
    this.#before = new Set(task.prompt);
    this.#rng = new Rng(task.seed).split('text');
    this.#pieces = new TokenText(decode, task.prompt);
    this.#stops = new StopStrings(task.stops);
  }

  /** Chooses the next token. @param partition of the logits, where it is known. @throws UserError `generate/not-finite`. */
  next(logits: Float32Array, partition?: number): Extract<GenerationEvent, { type: 'token' }> {
    const { choice, endTokens, tokens, see } = this.#task;
    expectFinite(logits, this.ids.length);
    see?.(logits);
    const id = chooseToken(logits, this.#before, choice, this.#rng);
    this.ids.push(id);
    this.#before.add(id);
    const text = endTokens.has(id) ? '' : this.#show(this.#pieces.push(id));
    if (endTokens.has(id)) this.ended = 'end-token';
    else if (this.stop !== null) this.ended = 'stop';
    else if (this.ids.length === tokens) this.ended = 'tokens';
    return { type: 'token', id, logProbability: logProbability(logits, id, partition), text };
  }

  /** @returns the text that was held back; none behind a stop string. */
  finish(ended: TextEnd): string {
    if (ended === 'stop') return '';
    const rest = this.#show(this.#pieces.rest());
    if (this.stop !== null) return rest;
    const held = this.#stops.rest();
    this.text += held;
    return rest + held;
  }

  #show(piece: string): string {
    const { text, stop } = this.#stops.push(piece);
    this.text += text;
    this.stop = stop;
    return text;
  }
}

/** @param before tokens of the text behind the prompt. @throws UserError `generate/not-finite`. */
export function expectFinite(logits: Float32Array, before: number): void {
  // A sum of finite float32 numbers is finite in float64: one addition each instead of a call.
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += logits[id]!;
  if (Number.isFinite(sum)) return;
  throw new UserError(
    'generate/not-finite',
    `The network's logits for token ${before + 1} of the text are not finite.`,
    'Measure the perplexity with `spinquant evaluate`: it says where the network overflows.',
  );
}
