/** Text at full precision beside that of quantized networks, which also judge it token by token. */
import { systemFault } from '../../disk/faults.ts';
import type {
  ColumnEvent,
  ComparisonEvent,
  TextJudgement,
  TokenJudgement,
} from '../../protocol/comparison.ts';
import { Cancelled, UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { WrittenText } from '../../protocol/generation.ts';
import { formatBytes } from '../../protocol/text.ts';
import { continueText } from '../generate/continue-text.ts';
import type { WritingNetwork } from '../generate/decoder.ts';
import { type GivenText, judgeText, summarize } from '../generate/judged-text.ts';
import type { TokenChoice } from '../generate/token-choice.ts';
import { tokenCacheBytes } from '../network/cache-form.ts';
import { endTokensOf } from './end-tokens.ts';
import type { GenerateOptions } from './generate.ts';
import { runJob } from './job.ts';
import { machineBytes } from './machine-bytes.ts';
import { type OpenedWriter, openWriter } from './opened-writer.ts';
import { type Prompt, promptWarnings, readPrompt, tokensToWrite } from './prompt.ts';
import { warningsOf } from './source.ts';
import type { Workbench } from './workbench.ts';
import type { Writer } from './writer.ts';
import {
  AS_DEPLOYED,
  formOf,
  type ReadyNetwork,
  type WritingForm,
  withNetwork,
  writerSetting,
} from './writer-network.ts';

export interface ComparisonRequest {
  /** At least one, all of one model: its full precision is what they are compared with. */
  readonly from: readonly Writer[];
  readonly prompt: Prompt;
  /** Tokens that each writes at most; null: 128, or as many as the model has positions for. */
  readonly tokens: number | null;
  readonly choice: TokenChoice;
  readonly seed: number;
  /** Texts end before any of these; none is empty. */
  readonly stops: readonly string[];
}

/** A network that wrote a text and judged that at full precision. */
export interface ComparedNetwork {
  readonly written: WrittenText;
  /** Of each token of the text at full precision. */
  readonly judged: readonly TokenJudgement[];
  readonly summary: TextJudgement | null;
}

export interface ComparisonResult {
  readonly fullPrecision: WrittenText;
  /** By the places in {@link ComparisonRequest.from}; null for one that failed, which its events tell. */
  readonly networks: readonly (ComparedNetwork | null)[];
}

type Events<T> = AsyncGenerator<RunEvent | ComparisonEvent, T>;

/** The text at full precision, and what each token of it was chosen by. */
interface Reference extends GivenText {
  readonly model: string;
  readonly written: WrittenText;
  readonly likely: readonly number[];
}

/**
 * The network at full precision writes a text, then each of the others writes its own and judges that of the first. One
 * after the other: there is never more than one network in memory.
 * @throws UserError those of `generateText` at full precision; faults of another column are its event. Cancelled.
 */
export async function* compareText(
  request: ComparisonRequest,
  options: GenerateOptions,
): Events<ComparisonResult> {
  const reference = yield* inColumn(0, writeReference(request, options));
  const networks: (ComparedNetwork | null)[] = [];
  for (const [place, from] of request.from.entries())
    networks.push(yield* inColumn(place + 1, compared(request, from, reference, options)));
  return { fullPrecision: reference.written, networks };
}

async function* inColumn<T>(column: number, work: AsyncGenerator<RunEvent | ColumnEvent, T>): Events<T> {
  try {
    yield { type: 'column', column, event: { type: 'started' } };
    for (;;) {
      const next = await work.next();
      if (next.done) return next.value;
      yield isRunEvent(next.value) ? next.value : { type: 'column', column, event: next.value };
    }
  } finally {
    // Left in the middle, it closes what it opened; at its end this does nothing.
    await work.return(undefined as T);
  }
}

const isRunEvent = (event: RunEvent | ColumnEvent): event is RunEvent => 'time' in event;

async function* writeReference(
  request: ComparisonRequest,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | ColumnEvent, Reference> {
  const [first] = request.from;
  if (!first) throw new UserError('generate/no-network', 'No network is named.', 'Name a run to compare.');
  const opened = await atFullPrecision(first, options);
  const { model } = opened.experiment;
  return yield* runJob<Reference, ColumnEvent>(
    writerSetting('generate', opened, options),
    async function* (bench, executor) {
      const { form, ...text } = yield* preparedPrompt(request, opened, bench);
      return yield* withNetwork(opened, executor, AS_DEPLOYED, async function* (ready) {
        yield networkEvent(ready, form, bench);
        const logits: Float32Array[] = [];
        const see = (seen: Float32Array) => logits.push(seen.slice());
        const written = yield* ownText(ready.network, request, { bench, ...text, see }, options.signal);
        const likely = [...written.likely];
        const judged = likely.map((logProbability) => ({ logProbability, divergence: 0 }));
        const summary = summarize(judged, likely);
        if (summary) yield { type: 'text-judged', ...summary };
        return { model, prompt: text.prompt, ids: written.ids, logits, written, likely };
      });
    },
  );
}

/** The model of a writer, computed with what the writer has of the machine: speeds are compared. */
async function atFullPrecision(from: Writer, { device }: GenerateOptions): Promise<OpenedWriter> {
  const { experiment, stockOn } = await openWriter(from, { device, cacheBits: null });
  const { model, threads, memoryLimit } = experiment;
  const opened = await openWriter({ model }, { device: stockOn ?? experiment.device, cacheBits: null });
  return { ...opened, experiment: { ...opened.experiment, threads, memoryLimit } };
}

async function* compared(
  request: ComparisonRequest,
  from: Writer,
  reference: Reference,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | ColumnEvent, ComparedNetwork | null> {
  try {
    const opened = await openWriter(from, { device: options.device, cacheBits: null });
    expectModelOf(opened, reference);
    return yield* writeAndJudge(request, opened, reference, options);
  } catch (thrown) {
    const error = systemFault(thrown);
    if (!(error instanceof UserError)) throw error;
    yield { type: 'failed', message: error.message, hint: error.hint };
    return null;
  }
}

function writeAndJudge(
  request: ComparisonRequest,
  opened: OpenedWriter,
  reference: Reference,
  options: GenerateOptions,
): AsyncGenerator<RunEvent | ColumnEvent, ComparedNetwork> {
  const { signal } = options;
  return runJob<ComparedNetwork, ColumnEvent>(
    writerSetting('generate', opened, options),
    async function* (bench, executor) {
      yield* warningsOf(opened.source);
      const { form, ...text } = yield* preparedPrompt(request, opened, bench);
      return yield* withNetwork(opened, executor, AS_DEPLOYED, async function* (ready) {
        yield networkEvent(ready, form, bench);
        const written = yield* ownText(ready.network, request, { bench, ...text }, signal);
        const judged: TokenJudgement[] = [];
        for await (const token of judgeText(ready.network, reference, signal)) {
          judged.push(token);
          yield { type: 'judged', ...token };
        }
        const summary = summarize(judged, reference.likely);
        if (summary) yield { type: 'text-judged', ...summary };
        return { written, judged, summary };
      });
    },
  );
}

interface Text {
  readonly prompt: Int32Array;
  /** Tokens that are written at most. */
  readonly tokens: number;
}

interface Place extends Text {
  readonly bench: Workbench;
  readonly see?: (logits: Float32Array) => void;
}

/**
 * The same prompt for all: it was read and measured with the same tokenizer and the same model. Read before the network is
 * made: a fault of the prompt must not wait for the weights to be rounded.
 */
async function* preparedPrompt(
  request: ComparisonRequest,
  opened: OpenedWriter,
  bench: Workbench,
): AsyncGenerator<RunEvent | ColumnEvent, Text & { readonly form: WritingForm }> {
  const form = yield* formOf(opened, bench);
  const prompt = await readPrompt(bench, request.prompt);
  yield* promptWarnings(bench, request.prompt, prompt);
  const { tokens, cacheBytes } = tokensToWrite(bench, prompt.length, request.tokens, form);
  expectRoom(tokens, bench.checkpoint.config.vocabSize);
  yield { type: 'prompt', ids: [...prompt], tokens, cacheBytes };
  return { prompt, tokens, form };
}

function networkEvent({ weightBytes }: ReadyNetwork, form: WritingForm, bench: Workbench): ColumnEvent {
  const cachePerToken = tokenCacheBytes(bench.checkpoint.config, form.cache);
  return { type: 'network', bits: form.bits, bytes: { weights: weightBytes, cachePerToken } };
}

async function* ownText(
  network: WritingNetwork,
  request: ComparisonRequest,
  { bench, prompt, tokens, see }: Place,
  signal?: AbortSignal,
): AsyncGenerator<ColumnEvent, WrittenText & { readonly likely: readonly number[] }> {
  const { choice, seed, stops } = request;
  const task = { prompt, tokens, choice, seed, stops, endTokens: endTokensOf(bench), see };
  const writing = continueText(network, bench.tokenizer.decode, task, signal);
  const likely: number[] = [];
  for (;;) {
    const next = await writing.next();
    if (next.done) {
      const { ended, tokensPerSecond } = next.value;
      if (ended === 'cancelled') throw new Cancelled();
      yield { type: 'written', ended, tokensPerSecond };
      return { ...next.value, likely };
    }
    if (next.value.type === 'token') likely.push(next.value.logProbability);
    yield next.value;
  }
}

/** @throws UserError `generate/other-model`. */
function expectModelOf({ experiment }: OpenedWriter, { model }: Reference): void {
  if (experiment.model === model) return;
  throw new UserError(
    'generate/other-model',
    `This run is of ${experiment.model}; the text is written by ${model}.`,
    'Compare runs of one model.',
  );
}

/** All logits of the text are kept, for the divergence. @throws UserError `generate/memory`. */
function expectRoom(tokens: number, vocabulary: number): void {
  const bytes = tokens * vocabulary * Float32Array.BYTES_PER_ELEMENT;
  const there = machineBytes();
  if (bytes <= there / 2) return;
  throw new UserError(
    'generate/memory',
    `The logits of ${tokens} tokens take ${formatBytes(bytes)}; this machine has ${formatBytes(there)} of memory.`,
    'Ask for fewer tokens.',
  );
}
