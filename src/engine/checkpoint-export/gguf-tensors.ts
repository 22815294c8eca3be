/** Tensors of a GGUF file in the names and the order of rows of llama.cpp. */
import { float32ToFloat16 } from '../../formats/float-bits.ts';
import { BLOCK } from '../../formats/gguf-blocks.ts';
import { encodeGrid, encodeNumbers, gridObstacle } from '../../formats/gguf-encode.ts';
import type { GgufType } from '../../formats/gguf-types.ts';
import type { WrittenGgufTensor } from '../../formats/gguf-write.ts';
import { bytesOf, tableParts, toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import type { GgufWeightType, HadamardChoice, TableBits } from '../../protocol/export-formats.ts';
import { float32 } from '../../protocol/tensor.ts';
import { LAYER_NAMES, MODEL_NAMES, ROTARY } from '../model/gguf/tensors.ts';
import { interleavesPairs, ropeFactors } from '../model/gguf/write-config.ts';
import { pairByNeighbours } from '../model/rotary-rows.ts';
import {
  EMBEDDING_NAME,
  expectedLayerTensors,
  FINAL_NORM_NAME,
  type LayerRole,
  LM_HEAD_NAME,
} from '../model/weights.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import { multiples } from '../network/rounded-weights.ts';
import { expectFinite } from './floats.ts';
import type { MergedWeights } from './merged-weights.ts';

type Tensors = Record<string, WrittenGgufTensor>;

export interface GgufWriting {
  readonly weights: MergedWeights;
  readonly type: GgufWeightType;
  readonly hadamard: HadamardChoice;
  readonly embeddings: TableBits;
  readonly head: TableBits;
  readonly signal?: AbortSignal | undefined;
}

const nameOf = new Map(Object.entries(LAYER_NAMES).map(([name, role]) => [role, name]));
const modelName = new Map(Object.entries(MODEL_NAMES).map(([name, own]) => [own, name]));
const TABLE_TYPES = { 32: 'F32', 16: 'F16', 8: 'Q8_0', 4: 'Q4_0' } as const satisfies Record<
  TableBits,
  GgufType
>;

/** Rows that are no whole blocks stay numbers of 16 bits. */
export const typeFor = <T extends GgufType>(type: T, columns: number): T | 'F16' =>
  type === 'F32' || columns % BLOCK === 0 ? type : 'F16';

/** Bytes of rows of numbers, rounded to nearest. */
function encode(type: GgufType, values: Float32Array, what: string): Uint8Array {
  switch (type) {
    case 'F32':
      return bytesOf(float32([values.length], values));
    case 'Q8_0':
    case 'Q4_0':
    case 'Q4_1':
      return encodeNumbers(type, values);
    default: {
      const bits = expectFinite(float32ToFloat16(values), what);
      return new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
    }
  }
}

/** All tensors, layer after layer. */
export function ggufTensors(writing: GgufWriting): Tensors {
  const { weights, embeddings, head } = writing;
  const { config } = weights.network.checkpoint;
  const ones = new Float32Array(config.hiddenSize).fill(1);
  const layers = Array.from({ length: config.layers }, (_, layer) => layerTensors(writing, layer));
  return {
    ...ropeFactors(config),
    [modelName.get(EMBEDDING_NAME)!]: table(writing, embeddings, (...part) => weights.embeddingRows(...part)),
    ...Object.assign({}, ...layers),
    [modelName.get(FINAL_NORM_NAME)!]: vector([config.hiddenSize], async () => ones),
    [modelName.get(LM_HEAD_NAME)!]: table(writing, head, (...part) => weights.headRows(...part)),
  };
}

function table(
  { weights, signal }: GgufWriting,
  bits: TableBits,
  rowsOf: MergedWeights['headRows'],
): WrittenGgufTensor {
  const { vocabSize, hiddenSize } = weights.network.checkpoint.config;
  const type = typeFor(TABLE_TYPES[bits], hiddenSize);
  const load = async (): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    for (const { first, count } of tableParts(vocabSize)) {
      throwIfCancelled(signal);
      parts.push(encode(type, await rowsOf(first, count, signal), 'The embedding or output layer'));
    }
    return Buffer.concat(parts);
  };
  return { type, dims: [vocabSize, hiddenSize], load };
}

function layerTensors(writing: GgufWriting, layer: number): Tensors {
  const { weights, signal } = writing;
  const { checkpoint } = weights.network;
  const { config } = checkpoint;
  const own = checkpoint.layer(layer);
  const sizes = expectedLayerTensors(config);
  const tensors: Tensors = {};
  const put = (role: LayerRole, tensor: WrittenGgufTensor): void => {
    tensors[`blk.${layer}.${nameOf.get(role)}`] = inPairs(role, tensor, writing);
  };
  put(
    'inputNorm',
    vector([config.hiddenSize], async () => weights.gain(layer, 'attention-norm')),
  );
  put(
    'postNorm',
    vector([config.hiddenSize], async () => weights.gain(layer, 'mlp-norm')),
  );
  for (const role of ['qNorm', 'kNorm'] as const) {
    const gain = own[role];
    if (gain)
      put(
        role,
        vector(gain.dims, async () => toFloat32(gain)),
      );
  }
  for (const linear of LINEARS) {
    put(linear, matrix(writing, layer, linear));
    const size = sizes.get(`${linear}Bias`);
    if (!size) continue;
    const load = async (): Promise<Float32Array> => {
      const bias = (await weights.biases(layer, signal))[linear];
      if (!bias) throw new Error(`${linear} of layer ${layer} has no bias`);
      return bias;
    };
    put(`${linear}Bias`, vector(size.dims, load));
  }
  return tensors;
}

function vector(dims: readonly number[], make: () => Promise<Float32Array>): WrittenGgufTensor {
  return { type: 'F32', dims, load: async () => encode('F32', await make(), 'A vector') };
}

/** Rows of q and k in the order in which llama.cpp turns them. */
function inPairs(role: LayerRole, tensor: WrittenGgufTensor, { weights }: GgufWriting): WrittenGgufTensor {
  const { config } = weights.network.checkpoint;
  if (!ROTARY.includes(role) || !interleavesPairs(config)) return tensor;
  const [rows = 0] = tensor.dims;
  return { ...tensor, load: async () => pairByNeighbours(await tensor.load(), rows, config.headDim) };
}

/** The run's own codes where its grid has a place in the type, else numbers rounded to nearest. */
function matrix(
  { weights, type: wanted, hadamard, signal }: GgufWriting,
  layer: number,
  linear: Linear,
): WrittenGgufTensor {
  const { network } = weights;
  const [rows = 0, columns = 0] = expectedLayerTensors(network.checkpoint.config).get(linear)?.dims ?? [];
  const { bits, symmetric, group } = weightQuantizer(linear, network.quantizers(layer));
  const type = typeFor(wanted, columns);
  const load = async (): Promise<Uint8Array> => {
    const isFolded = hadamard === 'folded' && weights.mapBefore(linear) !== null;
    if (bits >= 16 || isFolded || type === 'F16') {
      const form = isFolded ? 'folded' : 'numbers';
      return encode(type, await weights[form](layer, linear, signal), `${linear} of layer ${layer}`);
    }
    const grid = await weights.of(layer, linear, signal);
    if ('values' in grid) return encode(type, toFloat32(grid.values), linear);
    const fits = gridObstacle(type, bits, symmetric, group || columns) === null;
    return fits ? encodeGrid(type, grid) : encode(type, multiples(grid), linear);
  };
  return { type, dims: [rows, columns], load };
}
