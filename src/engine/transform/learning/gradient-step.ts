import { SEAM_NAMES, type SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { partialOf } from '../../../protocol/records.ts';
import { elementCount } from '../../../protocol/tensor.ts';
import { concatenate, nextTokens } from '../../calibration/tokens.ts';
import { shareOf, sumTogether } from '../../distributed/ranks.ts';
import type { Network, SeamGradients } from '../../network/network.ts';
import { asState, mapDims, ofLayer, seamOf, seamsIn } from '../../network/seams.ts';

/** ∂loss/∂map for each map of a seam as a state has them, summed over a batch in float64. */
export type GradientSums = Readonly<Partial<Record<SeamName, readonly Float64Array[]>>>;

export interface BatchLoss {
  /** Mean negative log-likelihood over the predicted tokens, in nats. */
  readonly loss: number;
  readonly tokens: number;
  readonly gradients: GradientSums;
}

/**
 * Next-token cross-entropy of a batch and its derivative by every map that is given at run time. Ranks share the batch.
 * @param sequences token ids, all of one length.
 * @param microBatch sequences computed at once; gradients are summed over micro-batches in order.
 */
export async function lossAndGradients(
  network: Network,
  sequences: readonly Int32Array[],
  microBatch: number,
  signal?: AbortSignal,
): Promise<BatchLoss> {
  const sum = zeroSums(network);
  const tokens = sequences.reduce((count, ids) => count + ids.length - 1, 0);
  const own = shareOf(sequences, network.ranks);
  const total = new Float64Array(1);
  for (let start = 0; start < own.length; start += microBatch) {
    const some = own.slice(start, start + microBatch);
    total[0]! += await microBatchGradients(network, some, 1 / tokens, sum, signal);
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
  const { maps } = network.options;
  return partialOf(SEAM_NAMES, (name) => {
    const map = maps[name];
    if (!map || map.kind === 'hadamard') return null;
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
  weight: number,
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
  const labels = nextTokens(ids, shape.sequence);
  const end = await network.lossBackward(tape.residual(network.layers), labels, weight, signal);
  add(sum, end.maps, 0);
  let dx = end.dx;
  for (let layer = network.layers - 1; layer >= 0; layer--) {
    throwIfCancelled(signal);
    const share = await network.layerBackward(layer, tape, dx, signal);
    add(sum, share.maps, layer);
    dx = share.dx;
  }
  add(sum, await network.embedBackward(ids, dx, signal), 0);
  return end.nll.reduce((loss, nll) => loss + nll, 0);
}

/** Adds a layer's share, or that of the ends of the network. */
function add(sums: GradientSums, share: SeamGradients, layer: number): void {
  for (const seam of seamsIn(share)) {
    const sum = ofLayer(sums[seam] ?? [], layer);
    const terms = share[seam] ?? new Float32Array();
    for (let i = 0; i < terms.length; i++) sum[i]! += terms[i]!;
  }
}
