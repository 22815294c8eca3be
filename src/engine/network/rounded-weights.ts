import { toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { HostTensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { preparedName, scaleName } from './layer-inputs.ts';
import type { LayerShape } from './layer-shape.ts';
import { isCodes, isPacked, PACK } from './packed-weights.ts';

/** A weight on its grid: Ŵ = s (c − z). */
export interface GridMatrix {
  readonly rows: number;
  readonly columns: number;
  /** c [rows, columns]. */
  readonly codes: Int8Array;
  /** s and z [rows, groups]; groups of consecutive columns share one. */
  readonly scale: Float32Array;
  readonly zero: Float32Array;
}

/** A rounded weight that no grid of rows or groups holds, as numbers. */
export interface DenseMatrix {
  readonly rows: number;
  readonly columns: number;
  /** Ŵ [rows, columns], float32, float16 or bfloat16. */
  readonly values: HostTensor;
}

export type RoundedMatrix = GridMatrix | DenseMatrix;

export type RoundedLayer = Readonly<Record<Linear, RoundedMatrix>>;

/** Weights of a network that were rounded beforehand. */
export interface RoundedSource {
  /** True where matrices may be dense: a network then takes none as codes. */
  readonly isDense?: boolean;
  read(layer: number): RoundedLayer;
}

/** bfloat16 bits of the whole numbers of a byte, by their unsigned byte. */
const BFLOAT16_OF_BYTE = Uint16Array.from(
  { length: 256 },
  (_, byte) => new Uint32Array(Float32Array.of((byte << 24) >> 24).buffer)[0]! >>> 16,
);

/**
 * Ŵ as a layer's program takes it.
 * @param asCodes as bfloat16 codes and row scales, for grids without zero points and groups; else in float32.
 * @throws Error for codes of a dense matrix, which has none: a mistake of ours.
 */
export function preparedTensors(linear: Linear, matrix: RoundedMatrix, asCodes: boolean): HostTensors {
  const dims = [matrix.rows, matrix.columns];
  if (!asCodes) return { [preparedName(linear)]: float32(dims, roundedValues(matrix)) };
  if ('values' in matrix) throw new Error(`${linear} is dense and has no codes`);
  const bits = new Uint16Array(matrix.codes.length);
  for (let i = 0; i < bits.length; i++) bits[i] = BFLOAT16_OF_BYTE[matrix.codes[i]! & 255]!;
  const codes: HostTensor = { kind: 'host', dtype: 'bfloat16', dims, data: bits };
  return { [preparedName(linear)]: codes, [scaleName(linear)]: float32([matrix.rows], matrix.scale) };
}

/** Ŵ [rows, columns]. */
export function roundedValues(matrix: RoundedMatrix): Float32Array {
  return 'values' in matrix ? toFloat32(matrix.values) : multiples(matrix);
}

/** Ŵ = s (c − z). */
export function multiples({ rows, codes, scale, zero }: GridMatrix): Float32Array {
  const values = new Float32Array(codes.length);
  const perGroup = (codes.length / rows) * (rows / scale.length);
  for (let group = 0; group < scale.length; group++) {
    const [s, z] = [scale[group]!, zero[group]!];
    const end = (group + 1) * perGroup;
    for (let i = group * perGroup; i < end; i++) values[i] = s * (codes[i]! - z);
  }
  return values;
}

/** What decides the form of a layer's weights. */
type LayerForm = Pick<LayerShape, 'weightForm' | 'quantizers' | 'config'>;

/** Tensors of weights that were rounded beforehand: of all layers, or of one layer at a time. */
export class RoundedWeights {
  readonly #cache: ProgramCache;
  readonly #source: RoundedSource;
  readonly #keepsAll: boolean;
  readonly #held: ({ readonly layer: number; readonly tensors: HostTensors } | undefined)[] = [];

  constructor(cache: ProgramCache, source: RoundedSource, keepsAll: boolean) {
    this.#cache = cache;
    this.#source = source;
    this.#keepsAll = keepsAll;
  }

  /** Ŵ of a layer, by program input name. */
  async of(layer: number, form: LayerForm, signal?: AbortSignal): Promise<HostTensors> {
    const slot = this.#keepsAll ? layer : 0;
    const held = this.#held[slot];
    if (held?.layer === layer) return held.tensors;
    // The layer before goes first: two would not fit where one is kept.
    this.#held[slot] = undefined;
    const weights = this.#source.read(layer);
    const tensors: HostTensors = {};
    for (const linear of LINEARS) {
      const matrix = weights[linear];
      const own = isPacked(linear, form)
        ? await this.#packed(linear, matrix, form, signal)
        : preparedTensors(linear, matrix, isCodes(linear, form));
      Object.assign(tensors, own);
    }
    this.#held[slot] = { layer, tensors };
    return tensors;
  }

  /** Frees the weights of all layers. */
  forget(): void {
    this.#held.length = 0;
  }

  async #packed(
    linear: Linear,
    matrix: RoundedMatrix,
    { quantizers }: LayerForm,
    signal?: AbortSignal,
  ): Promise<HostTensors> {
    if ('values' in matrix) throw new Error(`${linear} is dense and has no codes`);
    const { rows, columns, codes, scale, zero } = matrix;
    const groups = scale.length / rows;
    const spec = { linear, rows, columns, groups, quantizers };
    const program = await this.#cache.get(PACK, spec);
    const numbers = { kind: 'host', dtype: 'int8', dims: [rows, columns], data: codes } as const;
    const grid = { scale: float32([rows, groups], scale), zero: float32([rows, groups], zero) };
    return program.run({ codes: numbers, ...grid }, signal);
  }
}
