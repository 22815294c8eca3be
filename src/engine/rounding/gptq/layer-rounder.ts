import type { Linear } from '../../../protocol/block.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { reverseFactor } from '../reverse-cholesky.ts';
import { LinearWeights } from '../walk/linear-weights.ts';
import type { SecondMoment } from '../walk/second-moment.ts';
import type { MatrixRounder, RoundedLinear } from '../walk/walk-layers.ts';
import { RoundingKernels } from './rounding-kernels.ts';

/** Rounds the linear layers of one network that read the same rows. */
export class LayerRounder implements MatrixRounder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #weights: LinearWeights;
  readonly #kernels: RoundingKernels;
  readonly #damping: number;

  /** @param network merged, with its rotations; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network, damping: number) {
    this.#cache = cache;
    this.#network = network;
    this.#weights = new LinearWeights(cache, network);
    this.#kernels = new RoundingKernels(cache);
    this.#damping = damping;
  }

  /** @param seen of what the layers read; its spare memory is used. */
  async *round(
    layer: number,
    linears: readonly Linear[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear, void> {
    const moment = seen.sum;
    seen.requireFinite(layer, linears);
    const factor = await reverseFactor(this.#cache, moment, this.#damping, seen.spare, signal);
    for (const linear of linears) {
      const mapped = await this.#weights.mapped(layer, linear, signal);
      const { w, scale, zero } = mapped;
      const [rows, columns] = w.dims as [number, number];
      const { bits } = this.#network.options.quantizers.weights;
      const grid = { scale: scale.data, zero: zero.data };
      const codes = await this.#kernels.round({ w: w.data, rows, columns, bits, ...grid }, factor, signal);
      const matrix = { rows, columns, codes, ...grid };
      yield {
        linear,
        matrix,
        error: await this.#weights.error(layer, linear, { mapped, matrix, moment }, signal),
      };
    }
  }
}
