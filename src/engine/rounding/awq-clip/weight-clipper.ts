import { LINEARS, type Linear } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import type { RoundingError } from '../../../protocol/events.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import type { RoundedLayer, RoundedMatrix } from '../../network/rounded-weights.ts';
import { MAPPED_WEIGHT } from '../walk/mapped-weight.ts';
import { BOUNDS, CLIPPED, CODES, OUTPUT_ERRORS, READ_BY, type Reading } from './programs.ts';

/** Their outputs meet in attention scores, which an error of each output alone does not see (Lin et al. 2023). */
const UNCLIPPED: readonly Linear[] = ['q', 'k'];

/** Shares of outputs of all groups of some rows that are held at once. */
export const SHARES_BYTES = 64 * 2 ** 20;

/** The sampled rows [tokens, n] that the weights of a layer read. */
export type SampledRows = Readonly<Record<Reading, Reals>>;

/** Clips and rounds the weights of one layer after another. */
export class WeightClipper {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #signal: AbortSignal | undefined;

  /** @param network merged, with its maps; its weight quantizer gives the grids. */
  constructor(cache: ProgramCache, network: Network, signal?: AbortSignal) {
    this.#cache = cache;
    this.#network = network;
    this.#signal = signal;
  }

  async *round(
    layer: number,
    seen: SampledRows,
  ): AsyncGenerator<number, { weights: RoundedLayer; errors: RoundingError[] }> {
    const weights: Partial<Record<Linear, RoundedMatrix>> = {};
    const errors: RoundingError[] = [];
    for (const linear of LINEARS) {
      throwIfCancelled(this.#signal);
      const { matrix, error } = await this.#linear(layer, linear, seen[READ_BY[linear]]);
      weights[linear] = matrix;
      errors.push(error);
      yield errors.length / LINEARS.length;
    }
    return { weights: weights as RoundedLayer, errors };
  }

  async #linear(
    layer: number,
    linear: Linear,
    x: Reals,
  ): Promise<{ matrix: RoundedMatrix; error: RoundingError }> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const mapping = await this.#cache.get(MAPPED_WEIGHT, { linear, shape, types });
    const mapped = await mapping.run({ ...tensors, ...this.#network.maps(layer) }, this.#signal);
    const [rows, columns] = mapped.w.dims as [number, number];
    const found = UNCLIPPED.includes(linear)
      ? { ...mapped, rounded: mapped.nearest, codes: await this.#codes(mapped) }
      : await this.#clipped(mapped.w, x, weightQuantizer(linear, shape.quantizers));
    const codes = Int8Array.from(found.codes.data);
    const matrix = { rows, columns, codes, scale: found.scale.data, zero: found.zero.data };
    const program = await this.#cache.get(OUTPUT_ERRORS, { rows, columns, tokens: x.dims[0]! });
    const { w, nearest } = mapped;
    const energies = await program.run({ w, nearest, rounded: found.rounded, x }, this.#signal);
    const [all, byNearest, own] = [total(energies.all), total(energies.byNearest), total(energies.byMethod)];
    requireFinite(all + own, layer, linear);
    return { matrix, error: { linear, error: share(own, all), nearest: share(byNearest, all) } };
  }

  async #codes({ nearest, scale, zero }: Record<'nearest' | 'scale' | 'zero', Reals>): Promise<Reals> {
    const [rows, columns] = nearest.dims as [number, number];
    const program = await this.#cache.get(CODES, { rows, columns, groups: scale.dims[1]! });
    return (await program.run({ nearest, scale, zero }, this.#signal)).codes;
  }

  async #clipped(
    w: Reals,
    x: Reals,
    quantizer: WeightQuantizer,
  ): Promise<Record<'rounded' | 'scale' | 'zero' | 'codes', Reals>> {
    const [rows, columns] = w.dims as [number, number];
    const bound = await this.#bounds(w, x, quantizer);
    const program = await this.#cache.get(CLIPPED, { rows, columns, quantizer });
    return program.run({ w, bound }, this.#signal);
  }

  /** Some rows at a time: the shares of all groups at all tokens are many. */
  async #bounds(w: Reals, x: Reals, quantizer: WeightQuantizer): Promise<Reals> {
    const [rows, columns] = w.dims as [number, number];
    const [tokens = 0] = x.dims;
    const groups = columns / (quantizer.group || columns);
    const most = SHARES_BYTES / (groups * tokens * Float32Array.BYTES_PER_ELEMENT);
    const atOnce = largestDivisor(rows, Math.max(1, most));
    const program = await this.#cache.get(BOUNDS, { rows: atOnce, columns, tokens, quantizer });
    const bounds = new Float32Array(rows * groups);
    for (let row = 0; row < rows; row += atOnce) {
      const some = float32([atOnce, columns], w.data.subarray(row * columns, (row + atOnce) * columns));
      const { bound } = await program.run({ w: some, x }, this.#signal);
      bounds.set(bound.data, row * groups);
    }
    return float32([rows, groups], bounds);
  }
}

function largestDivisor(of: number, most: number): number {
  let divisor = Math.min(of, Math.floor(most));
  while (of % divisor !== 0) divisor--;
  return divisor;
}

function requireFinite(energy: number, layer: number, linear: Linear): void {
  if (Number.isFinite(energy)) return;
  throw new UserError(
    'rounding/not-finite',
    `${linear} of layer ${layer} gives outputs on the calibration text that are not finite.`,
    'The network overflows there, or its weights are not finite: check the checkpoint, or use another calibration text.',
  );
}

function total({ data }: Reals): number {
  return data.reduce((sum, value) => sum + value, 0);
}

const share = (part: number, all: number): number => (all > 0 ? part / all : 0);
