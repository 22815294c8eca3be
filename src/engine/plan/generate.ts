/** Text that a model writes at full precision, or the quantized network of a run. */
import type { Bits, Device } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { GenerationEvent, WrittenText } from '../../protocol/generation.ts';
import { continueText } from '../generate/continue-text.ts';
import type { TokenChoice } from '../generate/token-choice.ts';
import { shareOf16Bits } from '../network/cache-form.ts';
import type { HeadBits } from '../network/network-ends.ts';
import type { Products } from '../network/packed-weights.ts';
import type { RuntimeDevice } from '../runtime/types.ts';
import { endTokensOf } from './end-tokens.ts';
import { runJob } from './job.ts';
import { expectSameCache, openWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { type Prompt, promptWarnings, readPrompt, tokensToWrite } from './prompt.ts';
import { warningsOf } from './source.ts';
import type { Writer } from './writer.ts';
import { formOf, withNetwork, writerSetting } from './writer-network.ts';

export interface GenerateRequest {
  readonly from: Writer;
  readonly prompt: Prompt;
  /** Tokens that are written at most; null: 128, or as many as the model has positions for. */
  readonly tokens: number | null;
  readonly choice: TokenChoice;
  readonly seed: number;
  /** Strings that end the text. */
  readonly stops: readonly string[];
  /** Bits of keys and values; null: those of the run, 16 for a model. */
  readonly cacheBits: Bits | null;
  /**
   * True where quantization is simulated in float32; else products are of whole numbers, as far as they can be, and a GPU
   * runs the network as an ONNX model of stock operators.
   */
  readonly simulated: boolean;
  /** Bits of the output layer: 16, the default, leaves it as it is stored; 8 rounds it, and what it reads. */
  readonly headBits?: HeadBits | undefined;
}

export interface GenerateOptions extends EngineOptions {
  /** It replaces the run's device. */
  readonly device?: Device | undefined;
}

/** The document of `generate --json`. */
export interface GenerateResult extends WrittenText {
  readonly promptIds: readonly number[];
  /** Bytes of keys and values for prompt and text. */
  readonly cacheBytes: number;
  /** Bytes of all weights, in the forms in which the network reads them. */
  readonly weightBytes: number;
  /** Products of whole numbers, and the others; null where none could be, in a simulation and on a GPU. */
  readonly products: Products | null;
  readonly headBits: HeadBits;
  /** Bytes of a token's keys and values, scales included, against 2 for each number. */
  readonly cacheOf16Bits: number;
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  /** Setting that was computed, such as `W4A4KV4`; on a GPU it may be another than the run's. */
  readonly bits: string;
  readonly device: RuntimeDevice;
}

/**
 * Writes text. Cancelled within it, it returns what was written.
 * @throws UserError `generate/…`, `chat/…`, and those of the model, its tokenizer and the run.
 */
export async function* generateText(
  request: GenerateRequest,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | GenerationEvent, GenerateResult> {
  const { cacheBits, simulated, headBits = 16 } = request;
  const opened = await openWriter(request.from, { device: options.device, cacheBits, simulated });
  const { experiment, run, source } = opened;
  return yield* runJob<GenerateResult, GenerationEvent>(
    writerSetting('generate', opened, options),
    async function* (bench, executor) {
      expectSameCache(opened, bench);
      yield* warningsOf(source);
      const form = yield* formOf(opened, bench);
      const prompt = await readPrompt(bench, request.prompt);
      yield* promptWarnings(bench, request.prompt, prompt);
      const { tokens, cacheBytes } = tokensToWrite(bench, prompt.length, request.tokens, form);
      yield { type: 'prompt', ids: [...prompt], tokens, cacheBytes };
      const task = { ...request, prompt, tokens, endTokens: endTokensOf(bench) };
      const { decode } = bench.tokenizer;
      const writing = { simulated, headBits };
      return yield* withNetwork(opened, executor, writing, async function* ({ network, ...facts }) {
        const written = yield* continueText(network, decode, task, options.signal);
        return {
          ...written,
          ...facts,
          promptIds: [...prompt],
          headBits,
          cacheBytes,
          cacheOf16Bits: shareOf16Bits(bench.checkpoint.config, form.cache),
          model: experiment.model,
          run: run?.dir ?? null,
          bits: form.bits,
        };
      });
    },
  );
}
