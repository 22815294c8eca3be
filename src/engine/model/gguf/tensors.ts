import { float32ToBfloat16 } from '../../../formats/float-bits.ts';
import type { GgufFile, GgufTensor } from '../../../formats/gguf.ts';
import { ggufDType, isQuantized, readGgufTensor } from '../../../formats/gguf-types.ts';
import type { LazyTensor } from '../../../formats/safetensors-write.ts';
import { toFloat32 } from '../../../formats/tensor-io.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { DType, HostTensor } from '../../../protocol/tensor.ts';
import type { ModelConfig } from '../config.ts';
import { pairByHalves } from '../rotary-rows.ts';
import type { LayerRole } from '../weights.ts';
import {
  EMBEDDING_NAME,
  expectedTensors,
  FINAL_NORM_NAME,
  LM_HEAD_NAME,
  layerTensorName,
} from '../weights.ts';
import { ROPE_FACTORS } from './config.ts';
import { type RotatedWeights, rotatedWeights, unrotated } from './hadamard.ts';

/** Tensors that are quantized in the file get this dtype. */
export type DequantizedDType = 'float32' | 'bfloat16';

/** llama.cpp's names under `blk.{i}.`. */
export const LAYER_NAMES: Readonly<Record<string, LayerRole>> = {
  'attn_norm.weight': 'inputNorm',
  'attn_q.weight': 'q',
  'attn_k.weight': 'k',
  'attn_v.weight': 'v',
  'attn_output.weight': 'o',
  'ffn_norm.weight': 'postNorm',
  'ffn_gate.weight': 'gate',
  'ffn_up.weight': 'up',
  'ffn_down.weight': 'down',
  'attn_q.bias': 'qBias',
  'attn_k.bias': 'kBias',
  'attn_v.bias': 'vBias',
  'attn_output.bias': 'oBias',
  'ffn_gate.bias': 'gateBias',
  'ffn_up.bias': 'upBias',
  'ffn_down.bias': 'downBias',
  'attn_q_norm.weight': 'qNorm',
  'attn_k_norm.weight': 'kNorm',
};

export const MODEL_NAMES: Readonly<Record<string, string>> = {
  'token_embd.weight': EMBEDDING_NAME,
  'output_norm.weight': FINAL_NORM_NAME,
  'output.weight': LM_HEAD_NAME,
};

/** The rotary embedding acts on these, so the order of their rows depends on its pairs. */
export const ROTARY: readonly (LayerRole | undefined)[] = ['q', 'k', 'qBias', 'kBias'];

interface Placed {
  /** Hugging Face name. */
  readonly name: string;
  readonly rotary: boolean;
  readonly source: GgufTensor;
}

/**
 * Returns the tensors of a GGUF model by Hugging Face name, checked against the configuration and made one at a time.
 * Weights of rotated channels become those of channels that are not.
 * llama.cpp stores q and k of "llama" models for interleaved rotary pairs; this function restores the order of halves.
 * @throws UserError `gguf/…` for a tensor that is missing, unknown or of another shape.
 */
export function convertGgufTensors(
  file: GgufFile,
  config: ModelConfig,
  dequantized: DequantizedDType,
): Record<string, LazyTensor> {
  const placed = place(file);
  checkTensors(file, config, placed);
  const interleaved = config.architecture === 'llama' || config.architecture === 'mistral';
  const rotations = rotatedWeights(file);
  return Object.fromEntries(
    placed.map(({ name, rotary, source }) => [
      name,
      lazily(source, {
        dtype: outputDType(source, dequantized, rotations),
        interleavedHeads: interleaved && rotary ? config.headDim : null,
        rotations: rotations?.names.has(source.name) ? rotations : null,
      }),
    ]),
  );
}

interface Conversion {
  readonly dtype: DType;
  readonly interleavedHeads: number | null;
  readonly rotations: RotatedWeights | null;
}

function lazily(source: GgufTensor, { dtype, interleavedHeads, rotations }: Conversion): LazyTensor {
  const load = (): HostTensor => {
    const read = readGgufTensor(source);
    const tensor = withDType(rotations === null ? read : unrotated(read, rotations), dtype);
    return interleavedHeads === null ? tensor : pairByHalves(tensor, interleavedHeads);
  };
  return { kind: 'lazy', dtype, dims: source.dims, load };
}

function outputDType(
  { type, name }: GgufTensor,
  dequantized: DequantizedDType,
  rotations: RotatedWeights | null,
): DType {
  return isQuantized(type) || rotations?.names.has(name) ? dequantized : ggufDType(type);
}

function withDType(tensor: HostTensor, dtype: DType): HostTensor {
  if (tensor.dtype === dtype) return tensor;
  return { kind: 'host', dtype, dims: tensor.dims, data: float32ToBfloat16(toFloat32(tensor)) };
}

/** Returns the dtype that config.json names: that of all matrices, or float32 when they differ. */
export function modelDType(file: GgufFile, dequantized: DequantizedDType): DType {
  const matrices = [...file.tensors.values()].filter(({ dims }) => dims.length > 1);
  const rotations = rotatedWeights(file);
  const found = new Set(matrices.map((tensor) => outputDType(tensor, dequantized, rotations)));
  const [first] = found;
  return first !== undefined && found.size === 1 ? first : 'float32';
}

function place(file: GgufFile): Placed[] {
  const placed: Placed[] = [];
  for (const source of file.tensors.values()) {
    // Its numbers are in config.json.
    if (source.name === ROPE_FACTORS) continue;
    const layer = /^blk\.(\d+)\.(.+)$/.exec(source.name);
    const role = layer && Object.hasOwn(LAYER_NAMES, layer[2]!) ? LAYER_NAMES[layer[2]!] : undefined;
    const name = role
      ? layerTensorName(Number(layer![1]), role)
      : Object.hasOwn(MODEL_NAMES, source.name)
        ? MODEL_NAMES[source.name]
        : undefined;
    if (name === undefined) throw unknownTensor(file.path, source.name);
    placed.push({ name, rotary: ROTARY.includes(role), source });
  }
  return placed;
}

function unknownTensor(path: string, name: string): UserError {
  return new UserError(
    'gguf/unknown-tensor',
    `${path} holds ${name}, which the architectures that are supported do not have.`,
    'Leaving it out would change the model: use the Hugging Face folder that the GGUF file was made from.',
  );
}

function checkTensors(file: GgufFile, config: ModelConfig, placed: readonly Placed[]): void {
  const expected = expectedTensors(config);
  const found = new Map(placed.map((tensor) => [tensor.name, tensor.source]));
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  if (missing.length > 0)
    throw new UserError(
      'gguf/missing-tensor',
      `${file.path} lacks ${missing.length} tensors that a ${config.architecture} model of ${config.layers} layers needs: ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ' …' : ''} (in Hugging Face's names).`,
      'The file is incomplete or holds a variant of the architecture that is not supported.',
    );
  for (const [name, source] of found) {
    const known = expected.get(name);
    if (!known) throw unknownTensor(file.path, source.name);
    if (source.dims.join() !== known.dims.join())
      throw new UserError(
        'gguf/tensor-shape',
        `${file.path}: ${source.name} has shape [${source.dims.join(', ')}]; the key-value pairs ask for [${known.dims.join(', ')}] (${known.reason}).`,
        'The file is damaged, or holds a variant of the architecture that is not supported.',
      );
  }
}
