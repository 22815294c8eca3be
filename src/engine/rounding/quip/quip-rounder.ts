import type { MethodOptions } from '../../../config/index.ts';
import type { Linear } from '../../../protocol/block.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import { Rng } from '../../rotation/random.ts';
import { LinearWeights } from '../walk/linear-weights.ts';
import type { MatrixRounder, RoundedLinear } from '../walk/walk-layers.ts';
import { drawSigns, paddedColumns } from './incoherence.ts';
import type { LatticeBits } from './round-in-loops.ts';
import { type MatrixSettings, mixInputs, roundMatrix } from './round-matrix.ts';

export type QuipOptions = Omit<MethodOptions<'quip'>, 'samples'>;

/** Signs are stored as bits, σ as a float. */
const UNIT_BITS = 32;

/** Rounds linear layers to the codebooks of QuIP#, in channels that signs and Hadamard transforms mixed. */
export class QuipRounder implements MatrixRounder {
  readonly #cache: ProgramCache;
  readonly #weights: LinearWeights;
  readonly #network: Network;
  readonly #settings: Omit<MatrixSettings, 'bits'>;
  readonly #damping: number;
  readonly #seed: number;

  /** @param network merged, with its rotations; its weights have 2, 3 or 4 bits. */
  constructor(cache: ProgramCache, network: Network, { sweeps, scale, damping, seed }: QuipOptions) {
    this.#cache = cache;
    this.#weights = new LinearWeights(cache, network);
    this.#network = network;
    this.#settings = { sweeps, scale };
    this.#damping = damping;
    this.#seed = seed;
  }

  async *round(
    layer: number,
    linears: readonly Linear[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear, void> {
    seen.requireFinite(layer, linears);
    const { sum: moment, spare } = seen;
    const rng = new Rng(this.#seed).split(layer);
    const [n = 0] = moment.dims;
    const inputSigns = drawSigns(paddedColumns(n), rng.split(`inputs of ${linears[0]}`));
    const memory = { moment: moment.data, spare: spare.data };
    const inputs = await mixInputs(this.#cache, memory, inputSigns, this.#damping, signal);
    for (const linear of linears) {
      const mapped = await this.#weights.mapped(layer, linear, signal);
      const [rows, columns] = mapped.w.dims as [number, number];
      const signs = drawSigns(rows, rng.split(linear));
      const { data } = mapped.w;
      const bits = latticeBits(weightQuantizer(linear, this.#network.quantizers(layer)).bits);
      const settings = { ...this.#settings, bits };
      const { values } = await roundMatrix(this.#cache, data, inputs, signs, settings, signal);
      const matrix = { rows, columns, values: float32([rows, columns], values) };
      const error = await this.#weights.error(layer, linear, { mapped, matrix, moment }, signal);
      const storedBits = rows * inputs.columns * bits + rows + inputs.columns + UNIT_BITS;
      yield { linear, matrix, error, storedBits };
    }
  }
}

function latticeBits(bits: number): LatticeBits {
  if (bits === 2 || bits === 3 || bits === 4) return bits;
  throw new RangeError(`there is no codebook of ${bits} bits`);
}
