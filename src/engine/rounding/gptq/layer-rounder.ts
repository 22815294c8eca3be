import type { Linear } from '../../../protocol/block.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import type { GridMatrix } from '../../network/rounded-weights.ts';
import { LinearWeights, type MappedWeight } from '../walk/linear-weights.ts';
import type { MatrixRounder, RoundedLinear } from '../walk/walk-layers.ts';
import { inverseOrder, orderByMoment, reorder } from './column-order.ts';
import { type Correction, correctionOf, NO_CORRECTION } from './correction.ts';
import { type DampedFactor, dampedFactor, lambdaOf } from './damped-factor.ts';
import { type ClippingOptions, LearnedClips } from './learned-clips.ts';
import { ReducedWeights, type ReducingOptions, WEIGHT_GRID } from './reduced-weights.ts';
import { RoundingKernels } from './rounding-kernels.ts';
import { roundGroups } from './updated-groups.ts';

/** How GPTQ rounds; see the options of the method. */
export interface RoundingOptions extends ReducingOptions, ClippingOptions {
  /** See {@link reverseFactor}. */
  readonly damping: number;
  readonly actOrder: boolean;
  readonly groupScales: 'static' | 'updated';
  /** Anything but the weights looks at a network at full precision, too. */
  readonly target: 'weights' | 'outputs' | 'residual' | 'qronos' | 'gptaq';
  readonly gptaqAlpha: number;
  /** β of FOEM. */
  readonly foem: number;
  readonly sweeps: number;
}

/** The factor of what linear layers read, in the order in which their columns are rounded. */
interface OrderedFactor extends DampedFactor {
  /** Null for the order of the columns themselves. */
  readonly order: Int32Array | null;
}

/** What the linear layers of a stage have in common. */
interface Stage {
  readonly factor: OrderedFactor;
  readonly moment: Reals;
  readonly correction: Correction;
  /** Null where weights keep their range. */
  readonly reduced: ReducedWeights | null;
  /** Null where grids have the clip ratios of rounding to nearest. */
  readonly clips: LearnedClips | null;
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
    const stage: Stage = {
      ...{ factor, moment },
      correction: await this.#correction(seen, factor, signal),
      reduced: this.#options.magr > 0 ? new ReducedWeights(this.#cache, moment, this.#options) : null,
      clips: this.#clips(moment, factor),
    };
    for (const linear of linears) {
      const mapped = await this.#weights.mapped(layer, linear, signal);
      const quantizer = weightQuantizer(linear, this.#network.quantizers(layer));
      const matrix = await this.#rounded(mapped, quantizer, stage, signal);
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

  /** On the loss of the damping that was used. */
  #clips(h: Reals, { dampings }: DampedFactor): LearnedClips | null {
    const { learnedClip, learnedClipSteps } = this.#options;
    if (!learnedClip) return null;
    return new LearnedClips(this.#cache, { h, lambda: lambdaOf(h.data, dampings.at(-1)!) }, learnedClipSteps);
  }

  async #correction(
    { sum, drift, residualDrift }: SecondMoment,
    factor: OrderedFactor,
    signal?: AbortSignal,
  ): Promise<Correction> {
    const { target, gptaqAlpha: alpha, sweeps } = this.#options;
    if (!drift || target === 'weights') return NO_CORRECTION;
    const task = { target, drift, residualDrift, h: sum.data, factor, alpha, sweeps: sweeps > 0 };
    return correctionOf(this.#cache, task, signal);
  }

  /** Rounds weights that come close to the target, and then looks at each of them again. */
  async #rounded(
    mapped: MappedWeight,
    quantizer: WeightQuantizer,
    stage: Stage,
    signal?: AbortSignal,
  ): Promise<GridMatrix> {
    const target = await stage.correction.target(mapped.w, signal);
    const { w, scale, zero } = await this.#prepared({ ...mapped, w: target }, quantizer, stage, signal);
    const start = stage.correction.start(mapped.w, w);
    const matrix = await this.#roundedOnce({ w: start, scale, zero }, quantizer, stage, signal);
    const { sweeps } = this.#options;
    if (sweeps === 0) return matrix;
    const { factor, moment } = stage;
    // The loss is that of the damping that was used.
    const loss = { h: moment.data, damping: factor.dampings.at(-1)!, sweeps };
    const aim = await stage.correction.swept(mapped.w, target, signal);
    const task = { ...matrix, ...loss, w: aim.data, bits: quantizer.bits };
    return { ...matrix, codes: await this.#kernels.sweep(task, signal) };
  }

  /** Weights with less range and grids with learned ends, where they are wanted. */
  async #prepared(
    mapped: WeightOnGrid,
    quantizer: WeightQuantizer,
    { reduced, clips }: Stage,
    signal?: AbortSignal,
  ): Promise<WeightOnGrid> {
    const w = reduced ? await reduced.weights(mapped.w, quantizer.group, signal) : mapped.w;
    if (clips) return { w, ...(await clips.grid(w, quantizer, signal)) };
    if (!reduced) return mapped;
    const [rows, columns] = w.dims as [number, number];
    const program = await this.#cache.get(WEIGHT_GRID, { rows, columns, quantizer });
    return { w, ...(await program.run({ w }, signal)) };
  }

  async #roundedOnce(
    { w, scale, zero }: WeightOnGrid,
    quantizer: WeightQuantizer,
    { factor: { t, order }, correction: { feedback } }: Stage,
    signal?: AbortSignal,
  ): Promise<GridMatrix> {
    const [rows, columns] = w.dims as [number, number];
    // One group is the whole row, which begins with the weights as they are.
    if (this.#options.groupScales === 'updated' && scale.data.length > rows)
      return roundGroups(this.#cache, this.#kernels, { w, t, quantizer }, signal);
    const grid = { scale: scale.data, zero: zero.data };
    const shape = { rows, columns, bits: quantizer.bits };
    const fed = { order, drift: feedback, beta: this.#options.foem };
    const codes = await this.#kernels.round({ ...shape, ...grid, ...fed, w: w.data }, t, signal);
    return { rows, columns, codes, ...grid };
  }
}

/** A weight with its grid. */
type WeightOnGrid = Omit<MappedWeight, 'nearest'>;

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
