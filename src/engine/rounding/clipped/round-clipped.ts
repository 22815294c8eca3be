import type { Linear } from '../../../protocol/block.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { LearnedLayer } from '../../network/learned-grids.ts';
import type { Network } from '../../network/network.ts';
import { LinearWeights } from '../walk/linear-weights.ts';
import { type MatrixRounder, type RoundedLinear, type WalkTask, walkLayers } from '../walk/walk-layers.ts';
import { CLIPPED_WEIGHT } from './programs.ts';

export interface ClippedTask extends Pick<WalkTask, 'method' | 'network' | 'blocks' | 'layers'> {
  /** Factors of the ends of every layer's grids. */
  readonly clips: readonly LearnedLayer['clips'][];
}

/** Puts every weight on its clipped grid and tells what that costs on the calibration text. See {@link walkLayers}. */
export function roundClipped(
  cache: ProgramCache,
  { clips, ...task }: ClippedTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  return walkLayers(cache, { ...task, rounder: new ClippedRounder(cache, task.network, clips) }, signal);
}

class ClippedRounder implements MatrixRounder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #clips: readonly LearnedLayer['clips'][];
  readonly #weights: LinearWeights;

  constructor(cache: ProgramCache, network: Network, clips: readonly LearnedLayer['clips'][]) {
    this.#cache = cache;
    this.#network = network;
    this.#clips = clips;
    this.#weights = new LinearWeights(cache, network);
  }

  async *round(
    layer: number,
    linears: readonly Linear[],
    { sum }: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear, void> {
    for (const linear of linears) yield this.#linear(layer, linear, sum, signal);
  }

  async #linear(
    layer: number,
    linear: Linear,
    moment: SecondMoment['sum'],
    signal?: AbortSignal,
  ): Promise<RoundedLinear> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const program = await this.#cache.get(CLIPPED_WEIGHT, { linear, shape, types });
    const factors = this.#clips[layer]?.[linear];
    if (!factors) throw new Error(`no grids were learned for layer ${layer}`);
    const [rows = 0, columns = 0] = types[linear]?.dims ?? [];
    const dims = [rows, factors.upper.length / rows];
    const ends = { upper: float32(dims, factors.upper), lower: float32(dims, factors.lower) };
    const mapped = await program.run({ ...tensors, ...this.#network.maps(layer), ...ends }, signal);
    const { codes, scale, zero } = mapped;
    const matrix = { rows, columns, codes: codes.data, scale: scale.data, zero: zero.data };
    const error = await this.#weights.error(layer, linear, { mapped, matrix, moment }, signal);
    return { linear, matrix, error };
  }
}
