import { join } from 'node:path';
import type { FileTensor, HostTensor } from '../../protocol/tensor.ts';
import { checkWeights } from './check-weights.ts';
import { hashCheckpoint } from './checkpoint-hash.ts';
import { type ModelConfig, readConfigFile } from './config.ts';
import { headWarning } from './own-head.ts';
import { staleQuantization } from './quantized.ts';
import { readStoredTensors } from './stored-tensors.ts';
import { type FileMark, markFiles } from './unchanged.ts';
import type { LayerWeights } from './weights.ts';
import {
  EMBEDDING_NAME,
  expectedLayerTensors,
  expectedTensors,
  FINAL_NORM_NAME,
  LM_HEAD_NAME,
  layerTensorName,
} from './weights.ts';

export type { LayerRole, LayerWeights } from './weights.ts';

/** Something that a person should know of a model that is read all the same. */
export interface ModelWarning {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** A checked model folder. Weights stay in their files. */
export interface Checkpoint {
  readonly dir: string;
  readonly config: ModelConfig;
  /** The model's weights by Hugging Face name. A tied output layer is listed once, as the embedding. */
  readonly tensors: ReadonlyMap<string, FileTensor>;
  /** @throws RangeError for a name that the model does not have. */
  tensor(name: string): FileTensor;
  layer(index: number): LayerWeights;
  /** [vocabSize, hiddenSize] */
  readonly embedding: FileTensor;
  /** RMSNorm gain before the output layer, [hiddenSize]. */
  readonly finalNorm: FileTensor;
  /** [vocabSize, hiddenSize]; it is the embedding's file tensor when tied. */
  readonly lmHead: FileTensor;
  readonly tiedEmbeddings: boolean;
  /** These claims of the folder are disproved by its tensors. */
  readonly warnings: readonly ModelWarning[];
  /** Bytes of all weights in their files. */
  readonly sizeBytes: number;
  /** The files of the configuration and of the weights, as they were when the model was opened. */
  readonly files: readonly FileMark[];
  /** Returns a sha256 (hex) over config.json and the name, dtype, shape and sampled bytes of every weight. */
  hash(): Promise<string>;
}

/**
 * Opens a Hugging Face folder: config.json and one or several safetensors files. It checks that every tensor is there,
 * in its shape, in a floating-point dtype; values are not checked. What the model does not need is not judged.
 * @throws UserError `model/…`, `safetensors/…`
 */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const file = readConfigFile(dir);
  const stored = readStoredTensors(dir);
  checkWeights(dir, file, stored);
  const ownHead = await headWarning(file, stored);
  const config = ownHead === null ? file.config : { ...file.config, tiedEmbeddings: false };
  const warnings = [staleQuantization(file), ownHead].filter((warning) => warning !== null);
  const tensors = new Map(
    [...expectedTensors(config).keys()].map((name) => [name, stored.tensors.get(name)!]),
  );
  return { ...checkpointOf(dir, config, tensors), warnings };
}

/**
 * The same model with other weights.
 * @param tensors by the names of {@link Checkpoint.tensors}, all of them, in any floating-point dtype.
 */
export function withWeights(
  { dir, config, warnings }: Checkpoint,
  tensors: ReadonlyMap<string, FileTensor>,
): Checkpoint {
  return { ...checkpointOf(dir, config, tensors), warnings };
}

/** The same model with what its keys are on average, by layer [1, kvHeads·headDim]. */
export function withKeyMeans(checkpoint: Checkpoint, means: readonly HostTensor<Float32Array>[]): Checkpoint {
  return {
    ...checkpoint,
    layer(index) {
      const weights = checkpoint.layer(index);
      const keyMean = means[index];
      return keyMean ? { ...weights, keyMean } : weights;
    },
  };
}

function checkpointOf(
  dir: string,
  config: ModelConfig,
  tensors: ReadonlyMap<string, FileTensor>,
): Omit<Checkpoint, 'warnings'> {
  const tensor = (name: string): FileTensor => {
    const file = tensors.get(name);
    if (!file) throw new RangeError(`no tensor ${name} in ${dir}`);
    return file;
  };
  // Files that changed since are found by their marks before anything is kept, so one reading serves all steps.
  let hash: Promise<string> | undefined;
  return {
    dir,
    config,
    tensors,
    tensor,
    layer: (index) => layerOf(config, index, tensor),
    embedding: tensor(EMBEDDING_NAME),
    finalNorm: tensor(FINAL_NORM_NAME),
    lmHead: tensor(config.tiedEmbeddings ? EMBEDDING_NAME : LM_HEAD_NAME),
    tiedEmbeddings: config.tiedEmbeddings,
    sizeBytes: [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
    files: markFiles([join(dir, 'config.json'), ...[...tensors.values()].map(({ path }) => path)]),
    hash: () => {
      hash ??= hashCheckpoint(dir, tensors);
      return hash;
    },
  };
}

function layerOf(config: ModelConfig, index: number, tensor: (name: string) => FileTensor): LayerWeights {
  if (!Number.isInteger(index) || index < 0 || index >= config.layers) {
    throw new RangeError(`layer ${index} of ${config.layers}`);
  }
  const roles = [...expectedLayerTensors(config).keys()];
  const entries = roles.map((role) => [role, tensor(layerTensorName(index, role))]);
  // The roles come from the same table as the type: required ones are there, optional ones by configuration.
  return Object.fromEntries(entries) as LayerWeights;
}
