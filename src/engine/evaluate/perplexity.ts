import { UserError } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import { concatenate, nextTokens } from '../calibration/tokens.ts';
import { gatherNumbers, ONE_RANK, type Ranks, shareOf } from '../distributed/ranks.ts';
import type { Network } from '../network/network.ts';
import { notFinite } from './not-finite.ts';
import { type Part, passLayers } from './through-layers.ts';

/** Non-overlapping windows of one text. */
export interface PerplexityText {
  readonly name: string;
  /** Token ids per window, all of one length. */
  readonly windows: readonly Int32Array[];
}

export interface PerplexityProgress {
  readonly windowsDone: number;
  readonly windows: number;
  readonly runningPerplexity: number;
}

export interface Perplexity {
  /** exp(meanLoss): infinite above 709.78 nats. */
  readonly perplexity: number;
  /** Mean negative log-likelihood in nats per token. */
  readonly meanLoss: number;
  readonly windows: number;
  /** Tokens predicted. */
  readonly tokens: number;
}

/**
 * Cut a text's ids into windows of `sequenceLength`; a partial window at the end is dropped (SpinQuant's protocol).
 * @param bos id put first in every window, or null.
 */
export function cutWindows(
  ids: Int32Array,
  sequenceLength: number,
  bos: number | null,
  maxWindows: number | null,
): Int32Array[] {
  const fresh = bos === null ? sequenceLength : sequenceLength - 1;
  const count = Math.min(Math.floor(ids.length / fresh), maxWindows ?? Number.POSITIVE_INFINITY);
  return Array.from({ length: count }, (_, index) => {
    const part = ids.subarray(index * fresh, (index + 1) * fresh);
    return bos === null ? part : concatenate([Int32Array.of(bos), part]);
  });
}

/** Whatever reads windows, one by one or layer by layer, and says how likely it finds them. */
export interface WindowReader {
  /** They share the windows; absent for a process alone. */
  readonly ranks?: Ranks;
  /** Windows of so many tokens that are read between two reports. */
  windowsAtOnce(sequence: number): number;
  /** @returns the mean negative log-likelihood of each window, in nats, without that of its first token. */
  meanLosses(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number[]>;
  /** The fault of a window whose loss is not finite. */
  notFinite(text: PerplexityText, window: number, loss: number, signal?: AbortSignal): Promise<UserError>;
}

/** Windows go through a layer at a time in groups, so weights are prepared once a group. */
function readerOf(network: Network): WindowReader {
  const batchOf = (sequence: number): number =>
    Math.max(1, Math.floor(network.memory.tokensAtOnce / sequence));
  return {
    ranks: network.ranks,
    windowsAtOnce(sequence) {
      const batch = batchOf(sequence);
      return network.keepsPrepared ? batch : groupSize(network, sequence, batch);
    },
    meanLosses: (windows, signal) => windowLosses(network, windows, batchOf(windows[0]?.length ?? 1), signal),
    notFinite: (text, window, loss, signal) => notFinite(network, text, window, loss, signal),
  };
}

/**
 * Perplexity: exp of the mean over windows of each window's mean negative log-likelihood, every window on its own.
 * Logits are float32 and streamed. Ranks share the windows.
 * @throws UserError `evaluation/too-short`, `evaluation/not-finite` with the window and the place in the network.
 */
export async function* measurePerplexity(
  network: Network | WindowReader,
  text: PerplexityText,
  signal?: AbortSignal,
): AsyncGenerator<PerplexityProgress, Perplexity> {
  const reader = 'meanLosses' in network ? network : readerOf(network);
  const { windows } = text;
  if (windows.length === 0) {
    throw new UserError(
      'evaluation/too-short',
      `The text ${text.name} is shorter than one window.`,
      'Use a longer text, or a smaller evaluation.perplexity[].sequenceLength.',
    );
  }
  const sequence = windows[0]!.length;
  const ranks = reader.ranks ?? ONE_RANK;
  const group = reader.windowsAtOnce(sequence) * ranks.size;
  let sum = 0;
  for (let start = 0; start < windows.length; start += group) {
    const part = windows.slice(start, start + group);
    // The losses are summed in the order of the windows, whoever computed them.
    const own = await reader.meanLosses(shareOf(part, ranks), signal);
    for (const [index, nll] of (await gatherNumbers(ranks, own)).entries()) {
      if (!Number.isFinite(nll)) throw await reader.notFinite(text, start + index, nll, signal);
      sum += nll;
    }
    const done = start + part.length;
    yield { windowsDone: done, windows: windows.length, runningPerplexity: Math.exp(sum / done) };
  }
  const meanLoss = sum / windows.length;
  return {
    perplexity: Math.exp(meanLoss),
    meanLoss,
    windows: windows.length,
    tokens: windows.length * (sequence - 1),
  };
}

function groupSize({ checkpoint, memory }: Network, sequence: number, batch: number): number {
  const bytes = sequence * checkpoint.config.hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  const windows = Math.floor(memory.groupBytes / bytes);
  return Math.max(batch, windows - (windows % batch));
}

/** Mean negative log-likelihood of each window. */
async function windowLosses(
  network: Network,
  windows: readonly Int32Array[],
  batch: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const sequence = windows[0]?.length ?? 0;
  const parts: Part[] = [];
  for (let start = 0; start < windows.length; start += batch) {
    const some = windows.slice(start, start + batch);
    parts.push({ ids: concatenate(some), shape: { batch: some.length, sequence } });
  }
  const states = await passLayers(network, parts, signal);
  const means: number[] = [];
  for (const [index, { ids }] of parts.entries()) {
    const nll = await network.loss(states[index]!, nextTokens(ids, sequence), signal);
    for (let start = 0; start < nll.length; start += sequence) {
      means.push(
        nll.subarray(start, start + sequence).reduce((total, value) => total + value, 0) / (sequence - 1),
      );
    }
  }
  return means;
}

/** Logits [S, V] of one sequence. */
export async function sequenceLogits(
  network: Network,
  ids: Int32Array,
  signal?: AbortSignal,
): Promise<Float32Array> {
  let x = await network.embed(ids, signal);
  for (let layer = 0; layer < network.layers; layer++) {
    x = await network.layer(layer, x, { batch: 1, sequence: ids.length }, signal);
  }
  return (await network.logits(float32(x.dims, x.data), signal)).data;
}
