/** Tensors of a checkpoint in the names of transformers. */
import type { LazyTensor } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import type { FloatType } from '../../protocol/export-formats.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import {
  EMBEDDING_NAME,
  expectedLayerTensors,
  FINAL_NORM_NAME,
  LM_HEAD_NAME,
  layerTensorName,
} from '../model/weights.ts';
import { floats, tableOf } from './floats.ts';
import type { MergedWeights } from './merged-weights.ts';

export type LazyTensors = Record<string, LazyTensor>;

interface Writing {
  readonly weights: MergedWeights;
  readonly dtype: FloatType;
  readonly signal?: AbortSignal | undefined;
}

/** All but the weights of linear layers: tables of tokens apart from each other, norms, biases. */
export function tensorsAround(writing: Writing): LazyTensors {
  const { weights, dtype, signal } = writing;
  const { vocabSize, hiddenSize, layers } = weights.network.checkpoint.config;
  const size = [vocabSize, hiddenSize] as const;
  const table = (name: string, rows: MergedWeights['headRows']): [string, LazyTensor] => [
    name,
    {
      ...{ kind: 'lazy', dtype, dims: size },
      load: () => tableOf(dtype, size, (first, count) => rows(first, count, signal), name, signal),
    },
  ];
  return {
    ...Object.fromEntries([
      table(EMBEDDING_NAME, (...part) => weights.embeddingRows(...part)),
      table(LM_HEAD_NAME, (...part) => weights.headRows(...part)),
    ]),
    ...numbers(writing, FINAL_NORM_NAME, [hiddenSize], async () => new Float32Array(hiddenSize).fill(1)),
    ...Object.assign({}, ...Array.from({ length: layers }, (_, layer) => aroundLayer(writing, layer))),
  };
}

function aroundLayer(writing: Writing, layer: number): LazyTensors {
  const { weights, signal } = writing;
  const { checkpoint } = weights.network;
  const own = checkpoint.layer(layer);
  const sizes = expectedLayerTensors(checkpoint.config);
  const { hiddenSize } = checkpoint.config;
  const found: LazyTensors = {
    ...numbers(writing, layerTensorName(layer, 'inputNorm'), [hiddenSize], async () =>
      weights.gain(layer, 'attention-norm'),
    ),
    ...numbers(writing, layerTensorName(layer, 'postNorm'), [hiddenSize], async () =>
      weights.gain(layer, 'mlp-norm'),
    ),
  };
  for (const role of ['qNorm', 'kNorm'] as const) {
    const gain = own[role];
    if (gain)
      Object.assign(
        found,
        numbers(writing, layerTensorName(layer, role), gain.dims, async () => toFloat32(gain)),
      );
  }
  for (const linear of LINEARS) {
    const size = sizes.get(`${linear}Bias`);
    if (!size) continue;
    const bias = async (): Promise<Float32Array> => {
      const values = (await weights.biases(layer, signal))[linear];
      if (!values) throw new Error(`${linear} of layer ${layer} has no bias`);
      return values;
    };
    Object.assign(found, numbers(writing, layerTensorName(layer, `${linear}Bias`), size.dims, bias));
  }
  return found;
}

/** The weight of a linear layer as numbers. @param behindMaps true where maps at run time stay in front of it. */
export function linearTensor(
  writing: Writing,
  layer: number,
  linear: Linear,
  behindMaps: boolean,
): LazyTensors {
  const { weights, dtype, signal } = writing;
  const size = expectedLayerTensors(weights.network.checkpoint.config).get(linear);
  if (!size) throw new Error(`there is no ${linear}`);
  const values = behindMaps
    ? () => weights.numbers(layer, linear, signal)
    : () => weights.folded(layer, linear, signal);
  return numbers({ ...writing, dtype }, layerTensorName(layer, linear), size.dims, values);
}

/** A tensor of numbers that are made when it is written. */
function numbers(
  { dtype }: Writing,
  name: string,
  dims: readonly number[],
  make: () => Promise<Float32Array>,
): LazyTensors {
  const load = async (): Promise<HostTensor> => floats(dtype, dims, await make(), name);
  return { [name]: { kind: 'lazy', dtype, dims, load } };
}
