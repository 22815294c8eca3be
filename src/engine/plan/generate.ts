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
import { ownQuantizers } from './networks.ts';
import { expectSameCache, openWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { type Prompt, promptWarnings, readPrompt, tokensToWrite } from './prompt.ts';
import { warningsOf } from './source.ts';
import { labelOf } from './workbench.ts';
import type { Writer } from './writer.ts';
import { networkOf, writerSetting } from './writer-network.ts';

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
  /** True where quantization is simulated in float32; else products are of whole numbers, as far as they can be. */
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
  /** Products that were of whole numbers, and the others; null where none could be, or quantization was simulated. */
  readonly products: Products | null;
  readonly headBits: HeadBits;
  /** Bytes of a token's keys and values, scales included, against 2 for each number. */
  readonly cacheOf16Bits: number;
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  /** Setting, such as `W4A4KV4`. */
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
  const { cacheBits, headBits = 16 } = request;
  const opened = await openWriter(request.from, { device: options.device, cacheBits });
  const { experiment, run, source } = opened;
  return yield* runJob<GenerateResult, GenerationEvent>(
    writerSetting('generate', opened, options),
    async function* (bench, executor) {
      expectSameCache(opened, bench);
      yield* warningsOf(source);
      const prompt = await readPrompt(bench, request.prompt);
      yield* promptWarnings(bench, request.prompt, prompt);
      const { tokens, cacheBytes } = tokensToWrite(bench, prompt.length, request.tokens);
      yield { type: 'prompt', ids: [...prompt], tokens, cacheBytes };
      const network = yield* networkOf(opened, bench, executor, request.simulated);
      network.setHeadBits(headBits);
      const endTokens = endTokensOf(bench);
      const task = { ...request, prompt, tokens, endTokens };
      const written = yield* continueText(network, bench.tokenizer.decode, task, options.signal);
      return {
        ...written,
        promptIds: [...prompt],
        cacheBytes,
        weightBytes: network.weightBytes,
        products: network.products,
        headBits,
        cacheOf16Bits: shareOf16Bits(bench.checkpoint.config, ownQuantizers(bench)),
        model: experiment.model,
        run: run?.dir ?? null,
        bits: labelOf(bench),
        device: bench.runtime.device,
      };
    },
  );
}
