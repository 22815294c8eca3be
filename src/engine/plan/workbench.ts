import {
  bitsLabel,
  describeText,
  matrixShape,
  type PerplexityTask,
  type ResolvedExperiment,
} from '../../config/index.ts';
import { expectModel } from '../../hub/locate.ts';
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { formatCount } from '../../protocol/text.ts';
import type { KeyOffsetChoice } from '../../runs/index.ts';
import { encodePieces } from '../calibration/encode-text.ts';
import { beginningOfSequence, readCalibration } from '../calibration/text.ts';
import { readPieces } from '../calibration/text-source.ts';
import { concatenate } from '../calibration/tokens.ts';
import { expectSame } from '../distributed/agreement.ts';
import { ONE_RANK, type Ranks } from '../distributed/ranks.ts';
import { cutWindows, type PerplexityText } from '../evaluate/perplexity.ts';
import { ProgramCache } from '../graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../model/checkpoint.ts';
import { openTokenizer, type Tokenizer } from '../model/tokenizer.ts';
import type { SiteClips } from '../network/site-clips.ts';
import { Breath } from '../runtime/breath.ts';
import { createRuntime } from '../runtime/index.ts';
import type { Runtime } from '../runtime/types.ts';
import { type Methods, methodsOf } from './experiment-methods.ts';
import type { KeyFacts } from './key-means.ts';
import type { EngineOptions } from './options.ts';

/** Every job works with the checked model, its tokenizer, and a runtime with its compiled programs. */
export interface Workbench extends Methods {
  readonly experiment: ResolvedExperiment;
  readonly checkpoint: Checkpoint;
  readonly tokenizer: Tokenizer;
  readonly runtime: Runtime;
  readonly cache: ProgramCache;
  /** Processes that do the same work; absent for one alone. */
  readonly ranks?: Ranks;
  /** A digest of the means of keys, where networks take them out of these; else absent. */
  readonly keyMeans?: string;
  /** What is known of the keys on the calibration text; absent where nothing was looked at. */
  readonly keyFacts?: KeyFacts;
  /** What that text chose for the keys of this experiment; absent where it was not asked. */
  readonly keyChoice?: KeyOffsetChoice;
  /** The clip ratios that were searched for the deployed network; absent where none were. */
  readonly clips?: SiteClips;
  close(): Promise<void>;
}

/**
 * Opens and checks the model before anything is computed.
 * @throws UserError `device/unavailable` when the experiment's device is not there, besides those of the model.
 */
export async function openWorkbench(
  experiment: ResolvedExperiment,
  options: EngineOptions,
): Promise<Workbench> {
  const folder = expectModel(experiment.model);
  const checkpoint = await openCheckpoint(folder);
  const tokenizer = openTokenizer(folder, checkpoint.config.vocabSize);
  throwIfCancelled(options.signal);
  const ranks = options.ranks ?? ONE_RANK;
  const threads = experiment.threads ?? ranks.threads;
  const runtime = await createRuntime({
    kernels: options.kernels ?? 'auto',
    device: experiment.device,
    ...(threads !== null && { threads }),
  });
  await expectSameWork(ranks, checkpoint, runtime);
  const cache = new ProgramCache(runtime, ranks);
  return {
    experiment,
    checkpoint,
    tokenizer,
    runtime,
    cache,
    ...(ranks.size > 1 && { ranks }),
    ...(await methodsOf(experiment)),
    async close() {
      await cache.release();
      runtime.close();
    },
  };
}

/** Whatever decides results must be the same on all ranks. @throws UserError `mpi/ranks-differ`. */
async function expectSameWork(ranks: Ranks, checkpoint: Checkpoint, runtime: Runtime): Promise<void> {
  if (ranks.size === 1) return;
  const { description, threads, device } = runtime;
  await expectSame(ranks, {
    // Threads decide no result.
    kernels: description.replace(`, ${formatCount(threads, 'thread')}`, ''),
    device: `${device.kind} ${device.adapter ?? ''}`.trim(),
    model: `SHA-256 ${await checkpoint.hash()}`,
  });
}

/** What computes, for people. */
export function describeWork({ runtime, ranks }: Pick<Workbench, 'runtime' | 'ranks'>): string {
  return ranks === undefined ? runtime.description : `${runtime.description}; ${ranks.description}`;
}

/** The setting in the field's words; for a matrix those of its cells. */
export function labelOf({ experiment }: Workbench): string {
  const { matrix, quantization } = experiment;
  return matrix ? `Table of ${matrixShape(matrix).bits.join(', ')}` : bitsLabel(quantization);
}

/** Tells why `auto` took the device that it took. */
export function* deviceStatement({ runtime }: Workbench): Generator<RunEvent> {
  const { reason } = runtime.device;
  if (reason !== null) yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail: reason });
}

/** The calibration text as token blocks. */
export function calibrationBlocks(bench: Workbench, signal?: AbortSignal): Promise<Int32Array[]> {
  const { text, samples, sequenceLength, bos } = bench.experiment.calibration;
  return readCalibration(bench.tokenizer, { texts: text, samples, sequenceLength, bos }, signal);
}

/** The evaluation texts as windows of token ids, each text tokenized once as a whole. */
export async function evaluationTexts(bench: Workbench, signal?: AbortSignal): Promise<PerplexityText[]> {
  const texts: PerplexityText[] = [];
  for (const task of bench.experiment.evaluation.perplexity) {
    throwIfCancelled(signal);
    texts.push(await evaluationText(bench.tokenizer, task, signal));
  }
  return texts;
}

/**
 * One text as windows of token ids. No more is read than the windows need.
 * @param task its path is absolute, or an address on the Hub.
 * @throws UserError `evaluation/too-short`, `calibration/no-bos`, and those of reading a text.
 */
export async function evaluationText(
  tokenizer: Tokenizer,
  task: PerplexityTask,
  signal?: AbortSignal,
): Promise<PerplexityText> {
  const { sequenceLength, maxWindows, text } = task;
  const source = describeText(text);
  const bos = task.bos ? beginningOfSequence(tokenizer) : null;
  const wanted = (maxWindows ?? Number.POSITIVE_INFINITY) * sequenceLength;
  const parts: Int32Array[] = [];
  let count = 0;
  const options = { source, wanted, breath: new Breath(signal) };
  for await (const ids of encodePieces(tokenizer, readPieces(text, signal), options)) {
    parts.push(ids);
    count += ids.length;
    if (count >= wanted) break;
  }
  const windows = cutWindows(concatenate(parts), sequenceLength, bos, maxWindows);
  if (windows.length === 0) {
    throw new UserError(
      'evaluation/too-short',
      `${source} has ${count} tokens, fewer than one window of ${sequenceLength}.`,
      `Use a longer text for "${task.name}", or a smaller sequenceLength.`,
    );
  }
  return { name: task.name, windows };
}
