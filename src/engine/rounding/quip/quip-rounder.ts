import type { MethodOptions } from '../../../config/index.ts';
import type { Linear } from '../../../protocol/block.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import type { DenseMatrix } from '../../network/rounded-weights.ts';
import { Rng } from '../../rotation/random.ts';
import { reverseFactor } from '../reverse-cholesky.ts';
import { LinearWeights } from '../walk/linear-weights.ts';
import type { SecondMoment } from '../walk/second-moment.ts';
import type { MatrixRounder, RoundedLinear } from '../walk/walk-layers.ts';
import { blockFeedback, blockGain } from './block-factors.ts';
import { drawSigns, paddedColumns, resized, TWO_SIDED } from './incoherence.ts';
import { roundToLattice } from './lattice-kernels.ts';
import { type LatticeBits, latticeValues } from './round-in-loops.ts';

export type QuipOptions = Omit<MethodOptions<'quip'>, 'samples'>;

/** What the linear layers that read the same rows share. */
interface Inputs {
  readonly columns: number;
  /** S_U [columns]. */
  readonly signs: Float32Array;
  readonly feedback: Float32Array;
  readonly gain: Float32Array;
}

/** Rounds linear layers to the codebooks of QuIP#, in channels that signs and Hadamard transforms mixed. */
export class QuipRounder implements MatrixRounder {
  readonly #cache: ProgramCache;
  readonly #weights: LinearWeights;
  readonly #bits: LatticeBits;
  readonly #options: QuipOptions;

  /** @param network merged, with its rotations; its weights have 2, 3 or 4 bits. */
  constructor(cache: ProgramCache, network: Network, options: QuipOptions) {
    this.#cache = cache;
    this.#weights = new LinearWeights(cache, network);
    this.#bits = latticeBits(network.options.quantizers.weights.bits);
    this.#options = options;
  }

  async *round(
    layer: number,
    linears: readonly Linear[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear, void> {
    seen.requireFinite(layer, linears);
    const rng = new Rng(this.#options.seed).split(layer);
    const inputs = await this.#inputs(seen, rng.split(`inputs of ${linears[0]}`), signal);
    for (const linear of linears) {
      const mapped = await this.#weights.mapped(layer, linear, signal);
      const [rows, columns] = mapped.w.dims as [number, number];
      const values = await this.#rounded(mapped.w.data, rows, columns, inputs, rng.split(linear), signal);
      const matrix: DenseMatrix = { rows, columns, values: float32([rows, columns], values) };
      const parts = { mapped, matrix, moment: seen.sum };
      yield { linear, matrix, error: await this.#weights.error(layer, linear, parts, signal) };
    }
  }

  /** The factors of H̃ = M_nᵀ S_U H S_U M_n / mean + λI, its diagonal's mean being 1 before λ is added. */
  async #inputs({ sum }: SecondMoment, rng: Rng, signal?: AbortSignal): Promise<Inputs> {
    const [n = 0] = sum.dims;
    const columns = paddedColumns(n);
    const signs = drawSigns(columns, rng);
    const size = [columns, columns] as const;
    const padded = resized(sum.data, [n, n], size);
    const h = await this.#transformed(padded, size, { rows: signs, columns: signs, inverse: false }, signal);
    normalise(h, columns);
    const reversed = float32(size, h.toReversed());
    const factor = float32(size, new Float32Array(columns * columns));
    const { damping, sweeps } = this.#options;
    const feedback = await blockFeedback(
      await reverseFactor(this.#cache, reversed, damping, factor, signal),
      columns,
      signal,
    );
    for (let i = 0; i < columns; i++) h[i * columns + i]! += damping;
    const gain = sweeps > 0 ? await blockGain(h, columns, signal) : new Float32Array(columns * columns);
    return { columns, signs, feedback, gain };
  }

  /** Ŵ [rows, columns]. */
  async #rounded(
    weights: Float32Array,
    rows: number,
    given: number,
    { columns, signs, feedback, gain }: Inputs,
    rng: Rng,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const size = [rows, columns] as const;
    const sides = { rows: drawSigns(rows, rng), columns: signs };
    const padded = resized(weights, [rows, given], size);
    const w = await this.#transformed(padded, size, { ...sides, inverse: false }, signal);
    const scale = rootMeanSquare(w) / (this.#options.scale ?? SCALES[this.#bits]);
    if (!(scale > 0)) return weights.map(() => 0);
    const { sweeps } = this.#options;
    const task = {
      w: w.map((value) => value / scale),
      rows,
      columns,
      bits: this.#bits,
      sweeps,
      feedback,
      gain,
    };
    const points = await roundToLattice(this.#cache, task, signal);
    const values = latticeValues(points, this.#bits).map((value) => value * scale);
    const back = await this.#transformed(values, size, { ...sides, inverse: true }, signal);
    return resized(back, size, [rows, given]);
  }

  async #transformed(
    x: Float32Array,
    [rows, columns]: readonly [number, number],
    sides: { readonly rows: Float32Array; readonly columns: Float32Array; readonly inverse: boolean },
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const program = await this.#cache.get(TWO_SIDED, { rows, columns, inverse: sides.inverse });
    const tensors = {
      x: float32([rows, columns], x),
      rowSigns: float32([1, rows], sides.rows),
      columnSigns: float32([1, columns], sides.columns),
    };
    return (await program.run(tensors, signal)).y.data;
  }
}

/** ρ, the size that weights have in the scale of the codebook (Tseng et al. 2024); at 2 bits feedback asks for less. */
const SCALES: Readonly<Record<LatticeBits, number>> = { 2: 0.9, 3: 0.98, 4: 1.03 };

function latticeBits(bits: number): LatticeBits {
  if (bits === 2 || bits === 3 || bits === 4) return bits;
  throw new RangeError(`there is no codebook of ${bits} bits`);
}

/** H / mean(diag H) in place; the identity for inputs that are all zero. */
function normalise(h: Float32Array, n: number): void {
  let mean = 0;
  for (let i = 0; i < n; i++) mean += h[i * n + i]! / n;
  for (let at = 0; at < h.length; at++) h[at] = mean > 0 ? h[at]! / mean : Number(at % (n + 1) === 0);
}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
