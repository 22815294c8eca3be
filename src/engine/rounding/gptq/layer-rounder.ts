import type { Linear } from '../../../protocol/block.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import type { RoundedMatrix } from '../../network/rounded-weights.ts';
import { LinearWeights, type MappedWeight } from '../walk/linear-weights.ts';
import type { MatrixRounder, RoundedLinear } from '../walk/walk-layers.ts';
import { inverseOrder, orderByMoment, reorder } from './column-order.ts';
import { type DampedFactor, dampedFactor } from './damped-factor.ts';
import { DriftedTarget } from './drifted-target.ts';
import { RoundingKernels } from './rounding-kernels.ts';
import { roundGroups } from './updated-groups.ts';

/** How GPTQ rounds; see the options of the method. */
export interface RoundingOptions {
  /** See {@link reverseFactor}. */
  readonly damping: number;
  readonly actOrder: boolean;
  readonly groupScales: 'static' | 'updated';
}

/** The factor of what linear layers read, in the order in which their columns are rounded. */
interface OrderedFactor extends DampedFactor {
  /** Null for the order of the columns themselves. */
  readonly order: Int32Array | null;
}

/** Rounds the linear layers of one network that read the same rows. */
export class LayerRounder implements MatrixRounder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #weights: LinearWeights;
  readonly #kernels: RoundingKernels;
  readonly #options: RoundingOptions;

  /** @param network merged, with its rotations; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network, options: RoundingOptions) {
    this.#cache = cache;
    this.#network = network;
    this.#weights = new LinearWeights(cache, network);
    this.#kernels = new RoundingKernels(cache);
    this.#options = options;
  }

  /** @param seen of what the layers read; its spare memory holds the factor. */
  async *round(
    layer: number,
    linears: readonly Linear[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear | RunEvent, void> {
    seen.requireFinite(layer, linears);
    const factor = await this.#factor(seen, signal);
    if (factor.dampings.length > 1) yield raisedDamping(layer, linears, factor);
    const moment = seen.sum;
    const target = seen.drift && (await DriftedTarget.of(this.#cache, seen.drift, factor, signal));
    for (const linear of linears) {
      const mapped = await this.#weights.mapped(layer, linear, signal);
      const quantizer = weightQuantizer(linear, this.#network.quantizers(layer));
      const wanted = target ? { ...mapped, w: await target.weights(mapped.w, signal) } : mapped;
      const matrix = await this.#rounded(wanted, quantizer, factor, signal);
      const error = await this.#weights.error(layer, linear, { mapped, matrix, moment }, signal);
      yield { linear, matrix, error };
    }
  }

  async #factor({ sum, spare }: SecondMoment, signal?: AbortSignal): Promise<OrderedFactor> {
    const { damping, actOrder } = this.#options;
    const order = actOrder ? orderByMoment(sum.data, sum.dims[0] ?? 0) : null;
    if (order) reorder(sum.data, order);
    const found = await dampedFactor(this.#cache, sum, damping, spare, signal);
    if (order) reorder(sum.data, inverseOrder(order));
    return { ...found, order };
  }

  async #rounded(
    { w, scale, zero }: MappedWeight,
    quantizer: WeightQuantizer,
    { t, order }: OrderedFactor,
    signal?: AbortSignal,
  ): Promise<RoundedMatrix> {
    const [rows, columns] = w.dims as [number, number];
    // One group is the whole row, which begins with the weights as they are.
    if (this.#options.groupScales === 'updated' && scale.data.length > rows)
      return roundGroups(this.#cache, this.#kernels, { w, t, quantizer }, signal);
    const grid = { scale: scale.data, zero: zero.data };
    const shape = { rows, columns, bits: quantizer.bits };
    const codes = await this.#kernels.round({ ...shape, w: w.data, ...grid, order }, t, signal);
    return { rows, columns, codes, ...grid };
  }
}

/** Says which dampings failed before the one that was used. */
function raisedDamping(
  layer: number,
  linears: readonly Linear[],
  { dampings, sound }: OrderedFactor,
): RunEvent {
  const [used = 0, ...failed] = dampings.toReversed();
  const tried = failed.reverse().map(String).join(', ');
  const end = sound
    ? `it is ${used} there`
    : `it failed with ${used}, too, and goes on with the least pivots`;
  return timed({
    type: 'warning',
    message: `Layer ${layer}: the second moments of what ${linears.join(', ')} read could not be factored with a damping of ${tried}; ${end}.`,
    hint: 'One input is far larger than the others: a rotation spreads it, and a larger gptq.damping applies to all layers.',
  });
}
