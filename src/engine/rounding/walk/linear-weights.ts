import type { Linear } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { RoundingError } from '../../../protocol/events.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { type RoundedMatrix, roundedValues } from '../../network/rounded-weights.ts';
import { ERRORS, MAPPED_WEIGHT } from './mapped-weight.ts';

export type MappedWeight = Record<'w' | 'nearest' | 'scale' | 'zero', Reals>;

/** The weights of a network in its own bases, and what rounding them costs. */
export class LinearWeights {
  readonly #cache: ProgramCache;
  readonly #network: Network;

  /** @param network merged, with its rotations; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network) {
    this.#cache = cache;
    this.#network = network;
  }

  /** W' with its grid, and rounded to nearest on it. */
  async mapped(layer: number, linear: Linear, signal?: AbortSignal): Promise<MappedWeight> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const program = await this.#cache.get(MAPPED_WEIGHT, { linear, shape, types });
    return program.run({ ...tensors, ...this.#network.maps(layer) }, signal);
  }

  /**
   * @param moment Σ x xᵀ of what the layer reads.
   * @throws UserError where W' is not finite.
   */
  async error(
    layer: number,
    linear: Linear,
    { mapped, matrix, moment }: { mapped: MappedWeight; matrix: RoundedMatrix; moment: Reals },
    signal?: AbortSignal,
  ): Promise<RoundingError> {
    const { rows, columns } = matrix;
    const program = await this.#cache.get(ERRORS, { rows, columns });
    const rounded = float32([rows, columns], roundedValues(matrix));
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

function total({ data }: Reals): number {
  return data.reduce((sum, value) => sum + value, 0);
}

const share = (part: number, all: number): number => (all > 0 ? part / all : 0);
