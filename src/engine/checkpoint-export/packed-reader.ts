import { unpackRowsInt32 } from '../../formats/pack-int32.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { recordOf } from '../../protocol/records.ts';
import { type FileTensor, float32 } from '../../protocol/tensor.ts';
import { readStoredTensors } from '../model/stored-tensors.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import type { RoundedLayer, RoundedMatrix, RoundedSource } from '../network/rounded-weights.ts';
import { moduleName } from './quantization-config.ts';

/** Weights of linear layers as a folder of compressed-tensors has them. */
export class PackedWeights implements RoundedSource {
  /** Layers with 16 bits are numbers. */
  readonly isDense: boolean;
  readonly #tensors: ReadonlyMap<string, FileTensor>;
  readonly #network: Network;

  /** @param network that the folder was made of. @throws UserError `safetensors/…`, `model/…`. */
  constructor(folder: string, network: Network) {
    this.#network = network;
    this.#tensors = readStoredTensors(folder).tensors;
    this.isDense = [...this.#tensors.keys()].some((name) => name.endsWith('_proj.weight'));
  }

  read(layer: number): RoundedLayer {
    return recordOf(LINEARS, (linear) => this.#matrix(layer, linear));
  }

  #matrix(layer: number, linear: Linear): RoundedMatrix {
    const name = moduleName(layer, linear);
    const { bits } = weightQuantizer(linear, this.#network.quantizers(layer));
    if (bits >= 16) {
      const stored = this.#tensor(`${name}.weight`);
      const [rows = 0, columns = 0] = stored.dims;
      return { rows, columns, values: float32(stored.dims, toFloat32(stored)) };
    }
    const [rows = 0, columns = 0] = toFloat32(this.#tensor(`${name}.weight_shape`));
    const codes = unpackRowsInt32(this.#words(`${name}.weight_packed`), [rows, columns], bits);
    const scale = toFloat32(this.#tensor(`${name}.weight_scale`));
    const zeros = `${name}.weight_zero_point`;
    const zero = this.#tensors.has(zeros) ? this.#zeros(zeros, rows, bits) : new Float32Array(scale.length);
    return { rows, columns, codes, scale, zero };
  }

  /** Zero points are packed along the rows. */
  #zeros(name: string, rows: number, bits: number): Float32Array {
    const [words = 0, groups = 0] = this.#tensor(name).dims;
    const packed = this.#words(name);
    const byGroup = Int32Array.from(
      { length: packed.length },
      (_, i) => packed[(i % words) * groups + Math.floor(i / words)]!,
    );
    const codes = unpackRowsInt32(byGroup, [groups, rows], bits);
    return Float32Array.from(
      { length: codes.length },
      (_, i) => codes[(i % groups) * rows + Math.floor(i / groups)]!,
    );
  }

  #words(name: string): Int32Array {
    const { data } = readTensor(this.#tensor(name));
    if (!(data instanceof Int32Array)) throw new Error(`${name} has no words of 32 bits`);
    return data;
  }

  #tensor(name: string): FileTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new Error(`${name} was not written`);
  }
}
