import { throwIfCancelled } from '../../../protocol/errors.ts';
import { accumulate, type Network } from '../../network/network.ts';

/** ∂loss/∂R summed over a batch, in float64. */
export interface RotationGradients {
  readonly r1: Float64Array | null;
  readonly r2: readonly Float64Array[] | null;
}

export interface BatchLoss {
  /** Mean negative log-likelihood over the predicted tokens, in nats. */
  readonly loss: number;
  readonly tokens: number;
  readonly gradients: RotationGradients;
}

/** The label of a position that predicts nothing: the last of a sequence. */
const NO_LABEL = -1;

/**
 * Next-token cross-entropy of a batch and its derivative with respect to R1 and every R2.
 * @param sequences token ids, all of one length.
 * @param microBatch sequences computed at once; gradients are summed over micro-batches in order.
 */
export async function lossAndGradients(
  network: Network,
  sequences: readonly Int32Array[],
  microBatch: number,
  signal?: AbortSignal,
): Promise<BatchLoss> {
  const { r1, r2 } = network.options.sites;
  const { hiddenSize: d, headDim: h } = network.checkpoint.config;
  const sum: RotationGradients = {
    r1: r1 ? new Float64Array(d * d) : null,
    r2: r2 ? Array.from({ length: network.layers }, () => new Float64Array(h * h)) : null,
  };
  const tokens = sequences.reduce((count, ids) => count + ids.length - 1, 0);
  let total = 0;
  for (let start = 0; start < sequences.length; start += microBatch) {
    total += await microBatchGradients(
      network,
      sequences.slice(start, start + microBatch),
      1 / tokens,
      sum,
      signal,
    );
  }
  return { loss: total / tokens, tokens, gradients: sum };
}

/** Adds the gradients of one micro-batch to `sum`. @returns the sum of its token losses. */
async function microBatchGradients(
  network: Network,
  sequences: readonly Int32Array[],
  weight: number,
  sum: RotationGradients,
  signal?: AbortSignal,
): Promise<number> {
  const shape = { batch: sequences.length, sequence: sequences[0]!.length };
  const ids = concatenate(sequences);
  const tape = network.tape(shape);
  tape.residuals[0]!.data.set((await network.embed(ids, signal)).data);
  for (let layer = 0; layer < network.layers; layer++) {
    throwIfCancelled(signal);
    await network.record(layer, tape, signal);
  }
  const labels = nextTokens(ids, shape.sequence);
  const end = await network.lossBackward(tape.residuals[network.layers]!, labels, weight, signal);
  add(sum.r1, end.r1);
  let dx = end.dx;
  for (let layer = network.layers - 1; layer >= 0; layer--) {
    throwIfCancelled(signal);
    const share = await network.layerBackward(layer, tape, dx, signal);
    add(sum.r1, share.r1);
    add(sum.r2?.[layer] ?? null, share.r2);
    dx = share.dx;
  }
  add(sum.r1, await network.embedBackward(ids, dx, signal));
  return end.nll.reduce((loss, nll) => loss + nll, 0);
}

function add(sum: Float64Array | null, terms: Float32Array | null): void {
  if (sum && terms) accumulate(sum, terms);
}

/** The token after each position, inside its own sequence. */
export function nextTokens(ids: Int32Array, sequence: number): Int32Array {
  return ids.map((_, position) => ((position + 1) % sequence === 0 ? NO_LABEL : ids[position + 1]!));
}

export function concatenate(sequences: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(sequences.reduce((length, ids) => length + ids.length, 0));
  let offset = 0;
  for (const ids of sequences) {
    all.set(ids, offset);
    offset += ids.length;
  }
  return all;
}
