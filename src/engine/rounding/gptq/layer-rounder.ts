import type { Linear } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { RoundingError } from '../../../protocol/events.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { multiples, type RoundedMatrix } from '../../network/rounded-weights.ts';
import { ERRORS, MAPPED_WEIGHT } from '../mapped-weight.ts';
import { inverseOrder, orderByMoment, reorder } from './column-order.ts';
import { type DampedFactor, dampedFactor } from './damped-factor.ts';
import { RoundingKernels } from './rounding-kernels.ts';
import { roundGroups } from './updated-groups.ts';

type Rows = Reals;
type MappedWeight = Record<'w' | 'nearest' | 'scale' | 'zero', Rows>;

/** How GPTQ rounds; see the options of the method. */
export interface RoundingOptions {
  /** See {@link factorInLoops}. */
  readonly damping: number;
  readonly actOrder: boolean;
  readonly groupScales: 'static' | 'updated';
}

/** The factor of what linear layers read, in the order in which their columns are rounded. */
export interface OrderedFactor extends DampedFactor {
  /** Null for the order of the columns themselves. */
  readonly order: Int32Array | null;
}

/** Rounds the linear layers of one network that read the same rows. */
export class LayerRounder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #kernels: RoundingKernels;
  readonly #options: RoundingOptions;

  /** @param network merged, with its rotations; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network, options: RoundingOptions) {
    this.#cache = cache;
    this.#network = network;
    this.#kernels = new RoundingKernels(cache);
    this.#options = options;
  }

  /** @param seen of what the layers read; its spare memory holds the factor afterwards. */
  async factor(
    layer: number,
    linears: readonly Linear[],
    { sum, spare }: SecondMoment,
    signal?: AbortSignal,
  ): Promise<OrderedFactor> {
    requireFinite(sum, layer, linears);
    const { damping, actOrder } = this.#options;
    const order = actOrder ? orderByMoment(sum.data, sum.dims[0] ?? 0) : null;
    if (order) reorder(sum.data, order);
    const found = await dampedFactor(this.#kernels, sum, damping, spare, signal);
    if (order) reorder(sum.data, inverseOrder(order));
    return { ...found, order };
  }

  /** @param seen of what the layers read, and its factor. */
  async *round(
    layer: number,
    linears: readonly Linear[],
    { sum: moment }: SecondMoment,
    factor: OrderedFactor,
    signal?: AbortSignal,
  ): AsyncGenerator<{ linear: Linear; matrix: RoundedMatrix; error: RoundingError }, void> {
    for (const linear of linears) {
      const mapped = await this.#mapped(layer, linear, signal);
      const matrix = await this.#rounded(mapped, factor, signal);
      yield { linear, matrix, error: await this.#error(layer, linear, { mapped, matrix, moment }, signal) };
    }
  }

  async #rounded(
    { w, scale, zero }: MappedWeight,
    { t, order }: OrderedFactor,
    signal?: AbortSignal,
  ): Promise<RoundedMatrix> {
    const quantizer = this.#network.options.quantizers.weights;
    const [rows, columns] = w.dims as [number, number];
    // One group is the whole row, which begins with the weights as they are.
    if (this.#options.groupScales === 'updated' && scale.data.length > rows)
      return roundGroups(this.#cache, this.#kernels, { w, t, quantizer }, signal);
    const grid = { scale: scale.data, zero: zero.data };
    const shape = { rows, columns, bits: quantizer.bits };
    const codes = await this.#kernels.round({ ...shape, w: w.data, ...grid, order }, t, signal);
    return { rows, columns, codes, ...grid };
  }

  /** W' with its grid, and rounded to nearest on it. */
  async #mapped(layer: number, linear: Linear, signal?: AbortSignal): Promise<MappedWeight> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const program = await this.#cache.get(MAPPED_WEIGHT, { linear, shape, types });
    return program.run({ ...tensors, ...this.#network.maps(layer) }, signal);
  }

  async #error(
    layer: number,
    linear: Linear,
    { mapped, matrix, moment }: { mapped: MappedWeight; matrix: RoundedMatrix; moment: Rows },
    signal?: AbortSignal,
  ): Promise<RoundingError> {
    const { rows, columns } = matrix;
    const program = await this.#cache.get(ERRORS, { rows, columns });
    const rounded = float32([rows, columns], multiples(matrix));
    const energies = await program.run({ ...mapped, rounded, moment }, signal);
    const [all, nearest, own] = [total(energies.all), total(energies.byNearest), total(energies.byMethod)];
    // A code cannot be NaN, so a weight that is one would be rounded to a number; its energy tells.
    if (Number.isNaN(all) || Number.isNaN(own))
      throw new UserError(
        'rounding/not-finite',
        `The weights of ${linear} in layer ${layer}, with its maps in them, are not all finite.`,
        'Check the checkpoint: another copy of it, or another rotation or scaling, may help.',
      );
    return { linear, error: share(own, all), nearest: share(nearest, all) };
  }
}

function total({ data }: Rows): number {
  return data.reduce((sum, value) => sum + value, 0);
}

const share = (part: number, all: number): number => (all > 0 ? part / all : 0);

function requireFinite(moment: Rows, layer: number, linears: readonly Linear[]): void {
  const [n = 0] = moment.dims;
  for (let i = 0; i < n; i++) {
    if (!Number.isFinite(moment.data[i * n + i])) {
      throw new UserError(
        'rounding/not-finite',
        `What ${linears.join(', ')} of layer ${layer} read is not finite on the calibration text.`,
        'The network overflows there: check the checkpoint, or use another calibration text.',
      );
    }
  }
}
