import { SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { partialOf } from '../../protocol/records.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { shareOf, sumTogether } from '../distributed/ranks.ts';
import type { BatchShape } from '../network/layer-shape.ts';
import type { Activations, Network, SeamGradients } from '../network/network.ts';
import { asState, mapDims, ofLayer, seamOf, seamsIn } from '../network/seams.ts';
import { concatenate, nextTokens } from './tokens.ts';

/** ∂loss/∂map for each map of a seam as a state has them, summed over a batch in float64. */
export type GradientSums = Readonly<Partial<Record<SeamName, readonly Float64Array[]>>>;

/** What some sequences lose behind the last layer. */
export interface EndLoss {
  /** Sum over their counted tokens, in nats. */
  readonly sum: number;
  /** Derivatives of weight · sum by what the last layer hands on [T, d], and by maps behind it. */
  readonly dx: Activations;
  readonly maps: SeamGradients;
}

/** A loss of each token. */
export interface TokenLoss {
  /** Tokens of a sequence of this length that are counted. */
  counted(length: number): number;
  /** @param x what the last layer of the network hands on [T, d], from these ids [T]. */
  backward(
    network: Network,
    ids: Int32Array,
    shape: BatchShape,
    x: Activations,
    weight: number,
    signal?: AbortSignal,
  ): Promise<EndLoss>;
}

/** Cross-entropy of each token from those before it. */
export const NEXT_TOKEN: TokenLoss = {
  counted: (length) => length - 1,
  async backward(network, ids, { sequence }, x, weight, signal) {
    const { nll, dx, maps } = await network.lossBackward(x, nextTokens(ids, sequence), weight, signal);
    return { sum: nll.reduce((loss, one) => loss + one, 0), dx, maps };
  },
};

export interface BatchLoss {
  /** Mean over the counted tokens, in nats. */
  readonly loss: number;
  readonly tokens: number;
  readonly gradients: GradientSums;
}

/**
 * The loss of a batch and its derivative by every map that is given at run time. Ranks share the batch.
 * @param sequences token ids, all of one length.
 * @param microBatch sequences computed at once; gradients are summed over micro-batches in order.
 */
export async function lossAndGradients(
  network: Network,
  sequences: readonly Int32Array[],
  microBatch: number,
  signal?: AbortSignal,
  loss = NEXT_TOKEN,
): Promise<BatchLoss> {
  const sum = zeroSums(network);
  const tokens = sequences.reduce((count, ids) => count + loss.counted(ids.length), 0);
  const own = shareOf(sequences, network.ranks);
  const total = new Float64Array(1);
  for (let start = 0; start < own.length; start += microBatch) {
    const some = own.slice(start, start + microBatch);
    total[0]! += await microBatchGradients(network, some, { loss, weight: 1 / tokens }, sum, signal);
  }
  await network.ranks.sum(total);
  // Terms were float32 when they were added: to round a rank's sum to it costs no more than one of them did.
  await sumTogether(
    network.ranks,
    seamsIn(sum).flatMap((seam) => sum[seam] ?? []),
  );
  return { loss: total[0]! / tokens, tokens, gradients: byMap(sum, network) };
}

/** The sums of each layer as those of its maps. */
function byMap(sums: GradientSums, network: Network): GradientSums {
  const { config } = network.checkpoint;
  return partialOf(SEAM_NAMES, (name) => {
    const [map, sum] = [network.options.maps[name], sums[name]];
    return map && sum ? asState(map, seamOf(name, config), sum) : null;
  });
}

function zeroSums(network: Network): GradientSums {
  const { config } = network.checkpoint;
  const { maps, moving } = network.options;
  return partialOf(SEAM_NAMES, (name) => {
    const map = maps[name];
    if (!map || map.kind === 'hadamard' || !(moving?.includes(name) ?? true)) return null;
    const seam = seamOf(name, config);
    const { count } = seam;
    const size = elementCount(mapDims(map, seam));
    return Array.from({ length: count }, () => new Float64Array(size));
  });
}

/** Adds the gradients of one micro-batch to `sum`. @returns the sum of its token losses. */
async function microBatchGradients(
  network: Network,
  sequences: readonly Int32Array[],
  { loss, weight }: { readonly loss: TokenLoss; readonly weight: number },
  sum: GradientSums,
  signal?: AbortSignal,
): Promise<number> {
  const shape = { batch: sequences.length, sequence: sequences[0]?.length ?? 0 };
  const ids = concatenate(sequences);
  const tape = network.tape(shape);
  tape.residual(0).data.set((await network.embed(ids, signal)).data);
  for (let layer = 0; layer < network.layers; layer++) {
    throwIfCancelled(signal);
    await network.record(layer, tape, signal);
  }
  const last = tape.residual(network.layers);
  const end = await loss.backward(network, ids, shape, last, weight, signal);
  add(sum, end.maps, 0);
  let dx = end.dx;
  for (let layer = network.layers - 1; layer >= 0; layer--) {
    throwIfCancelled(signal);
    const share = await network.layerBackward(layer, tape, dx, signal);
    add(sum, share.maps, layer);
    dx = share.dx;
  }
  add(sum, await network.embedBackward(ids, dx, signal), 0);
  return end.sum;
}

/** Adds a layer's share, or that of the ends of the network. */
function add(sums: GradientSums, share: SeamGradients, layer: number): void {
  for (const seam of seamsIn(share)) {
    const sum = ofLayer(sums[seam] ?? [], layer);
    const terms = share[seam] ?? new Float32Array();
    for (let i = 0; i < terms.length; i++) sum[i]! += terms[i]!;
  }
}
