/** Text that a model writes at full precision, or the quantized network of a run. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Device,
  experimentSchema,
  hasLearnedRotation,
  type ResolvedExperiment,
  resolvePortable,
} from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { GenerationEvent, WrittenText } from '../../protocol/generation.ts';
import { openRun, type Run } from '../../runs/index.ts';
import { continueText } from '../generate/continue-text.ts';
import type { TokenChoice } from '../generate/token-choice.ts';
import { readEndTokens } from '../model/generation-config.ts';
import type { Network } from '../network/network.ts';
import type { RuntimeDevice } from '../runtime/types.ts';
import type { Executor } from './execute.ts';
import { planQuantized } from './experiment-plan.ts';
import { runJob } from './job.ts';
import { plainNetwork } from './networks.ts';
import type { EngineOptions } from './options.ts';
import { Places } from './places.ts';
import { type Prompt, promptWarnings, readPrompt, tokensToWrite } from './prompt.ts';
import { measuredWith, type Source, sourceAt, warningsOf } from './source.ts';
import { quantizedNetwork } from './steps/measures.ts';
import { labelOf, type Workbench } from './workbench.ts';
import type { Writer } from './writer.ts';

export interface GenerateRequest {
  readonly from: Writer;
  readonly prompt: Prompt;
  /** Tokens that are written at most; null: 128, or as many as the model has positions for. */
  readonly tokens: number | null;
  readonly choice: TokenChoice;
  readonly seed: number;
  /** Strings that end the text. */
  readonly stops: readonly string[];
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
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  readonly device: RuntimeDevice;
}

/** What writes, with the experiment that makes it. */
interface Opened {
  readonly experiment: ResolvedExperiment;
  /** Null for a model at full precision. */
  readonly run: Run | null;
  readonly source: Source | null;
}

/**
 * Writes text. Cancelled within it, it returns what was written.
 * @throws UserError `generate/…`, `chat/…`, and those of the model, its tokenizer and the run.
 */
export async function* generateText(
  request: GenerateRequest,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | GenerationEvent, GenerateResult> {
  const opened = await open(request.from, options.device);
  const { experiment, run, source } = opened;
  const setting = {
    job: 'generate' as const,
    experiment,
    options,
    places: new Places(null, run ? [run.dir] : [], run ? experiment.runs : tmpdir()),
    run: run?.dir ?? null,
  };
  return yield* runJob<GenerateResult, GenerationEvent>(setting, async function* (bench, executor) {
    yield* warningsOf(source);
    const prompt = await readPrompt(bench, request.prompt);
    yield* promptWarnings(bench, request.prompt, prompt);
    const { tokens, cacheBytes } = tokensToWrite(bench, prompt.length, request.tokens);
    yield { type: 'prompt', ids: [...prompt], tokens, cacheBytes };
    const network = yield* networkOf(opened, bench, executor);
    const endTokens = endTokensOf(bench);
    const task = { ...request, prompt, tokens, endTokens };
    const written = yield* continueText(network, bench.tokenizer.decode, task, options.signal);
    return {
      ...written,
      promptIds: [...prompt],
      cacheBytes,
      model: experiment.model,
      run: run?.dir ?? null,
      bits: labelOf(bench),
      device: bench.runtime.device,
    };
  });
}

async function open(from: Writer, device: Device | undefined): Promise<Opened> {
  if ('model' in from) return { experiment: fullPrecision(from.model, device), run: null, source: null };
  const run = await openRun(from.run);
  const own = await run.readExperiment();
  const source = hasLearnedRotation(own.rotation) ? await sourceAt(own, run.dir) : null;
  const experiment = measuredWith(own, source);
  return { experiment: device === undefined ? experiment : { ...experiment, device }, run, source };
}

/** A model is used as an experiment that leaves all as it is. */
function fullPrecision(model: string, device: Device | undefined): ResolvedExperiment {
  const sixteen = { bits: 16 };
  const experiment = experimentSchema.parse({
    model,
    ...(device && { device }),
    quantization: { weights: sixteen, activations: sixteen, keys: sixteen, values: sixteen },
    rotation: { r1: 'none', r2: 'none', r3: false, r4: false },
  });
  return resolvePortable(experiment, join(tmpdir(), 'model.spinquant.json'));
}

async function* networkOf(
  { run, source }: Opened,
  bench: Workbench,
  executor: Executor,
): AsyncGenerator<RunEvent, Network> {
  if (run === null) return plainNetwork(bench);
  const quantized = await planQuantized(bench.experiment, bench, source?.rotations ?? null);
  const { maps, trained, weights } = quantized;
  if (trained) yield* executor.execute(trained);
  yield* executor.execute(maps);
  if (weights) yield* executor.execute(weights);
  return quantizedNetwork(executor, quantized);
}

/** Where no file of the model names one, its tokenizer may. */
function endTokensOf({ checkpoint, tokenizer }: Workbench): ReadonlySet<number> {
  const named = readEndTokens(checkpoint.dir);
  const own = tokenizer.eosId === null ? [] : [tokenizer.eosId];
  return new Set(named.length > 0 ? named : own);
}
