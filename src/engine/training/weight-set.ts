import { toFloat32 } from '../../formats/tensor-io.ts';
import { elementCount, float32, type HostTensor, zeros } from '../../protocol/tensor.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import { expectedLayerTensors, expectedTensors, type LayerRole, layerTensorName } from '../model/weights.ts';

/** Every weight of a model in float32, by the names of its checkpoint. A tied output layer is there once. */
export type WeightSet = ReadonlyMap<string, HostTensor<Float32Array>>;

/** The weights of a checkpoint, as numbers that can be changed. */
export function weightsOf({ tensors }: Checkpoint): WeightSet {
  return new Map([...tensors].map(([name, file]) => [name, float32(file.dims, toFloat32(file))]));
}

/** As many zeros. */
export function zerosLike(weights: WeightSet): WeightSet {
  return new Map(
    [...weights].map(([name, { dims }]) => [name, zeros('float32', dims) as HostTensor<Float32Array>]),
  );
}

/** Tensors of a layer by their roles. */
export function layerWeights(
  weights: WeightSet,
  config: ModelConfig,
  layer: number,
): Record<string, HostTensor<Float32Array>> {
  const roles: LayerRole[] = [...expectedLayerTensors(config).keys()];
  return Object.fromEntries(roles.map((role) => [role, weightNamed(weights, layerTensorName(layer, role))]));
}

/** @throws Error for a name that the set does not have. */
export function weightNamed(weights: WeightSet, name: string): HostTensor<Float32Array> {
  const tensor = weights.get(name);
  if (tensor) return tensor;
  throw new Error(`there is no weight ${name}`);
}

/** Numbers that a model has, a tied output layer once. */
export function parameterCount(config: ModelConfig): number {
  return [...expectedTensors(config).values()].reduce((sum, { dims }) => sum + elementCount(dims), 0);
}
