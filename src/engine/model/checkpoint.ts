import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readJsonFile } from '../../disk/json.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import { hashCheckpoint } from './checkpoint-hash.ts';
import type { ModelConfig } from './config.ts';
import { readModelConfig } from './config.ts';
import { type FileMark, markFiles } from './unchanged.ts';
import type { LayerWeights } from './weights.ts';
import {
  checkWeights,
  EMBEDDING_NAME,
  expectedLayerTensors,
  expectedTensors,
  FINAL_NORM_NAME,
  LM_HEAD_NAME,
  layerTensorName,
} from './weights.ts';

export type { LayerRole, LayerWeights } from './weights.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';

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
  /** Bytes of all weights in their files. */
  readonly sizeBytes: number;
  /** The files of the configuration and of the weights, as they were when the model was opened. */
  readonly files: readonly FileMark[];
  /** Returns a sha256 (hex) over config.json and the name, dtype, shape and sampled bytes of every weight. */
  hash(): Promise<string>;
}

/**
 * Opens a Hugging Face folder: config.json and one or several safetensors files. It checks that every tensor is there,
 * in its shape, in a floating-point dtype; values are not checked.
 * @throws UserError `model/…`, `safetensors/…`
 */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const config = readModelConfig(dir);
  const found = readTensors(dir);
  checkWeights(dir, config, found);
  const tensors = new Map([...expectedTensors(config).keys()].map((name) => [name, found.get(name)!]));
  const tensor = (name: string): FileTensor => {
    const file = tensors.get(name);
    if (!file) throw new RangeError(`no tensor ${name} in ${dir}`);
    return file;
  };
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
    hash: () => hashCheckpoint(dir, tensors),
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

/** One file wins over an index, as in transformers. */
function readTensors(dir: string): ReadonlyMap<string, FileTensor> {
  const single = join(dir, SINGLE_FILE);
  if (existsSync(single)) return readSafetensorsHeader(single).tensors;
  const index = join(dir, INDEX_FILE);
  if (existsSync(index)) return readShards(dir, index);
  const found = readdirSync(dir).filter((name) => /\.(safetensors|bin|pth?|gguf)$/.test(name));
  throw new UserError(
    'model/no-weights',
    `${dir} has neither ${SINGLE_FILE} nor ${INDEX_FILE}${found.length > 0 ? ` (found ${found.join(', ')})` : ''}.`,
    found.some((name) => name.endsWith('.gguf'))
      ? 'Import a GGUF file with "spinquant import" first.'
      : 'Save the model with transformers: model.save_pretrained(folder).',
  );
}

function readShards(dir: string, indexPath: string): ReadonlyMap<string, FileTensor> {
  const weightMap = readWeightMap(indexPath);
  const shards = [...new Set(Object.values(weightMap))].sort();
  const missing = shards.filter((name) => !existsSync(join(dir, name)));
  if (missing.length > 0) {
    throw new UserError(
      'model/missing-shard',
      `${indexPath} names ${shards.length} files; ${missing.length} are missing: ${missing.join(', ')}.`,
      'The download is incomplete: fetch these files.',
    );
  }
  const files = new Map(shards.map((name) => [name, readSafetensorsHeader(join(dir, name)).tensors]));
  const tensors = new Map<string, FileTensor>();
  for (const [name, shard] of Object.entries(weightMap)) {
    const tensor = files.get(shard)?.get(name);
    if (!tensor) {
      throw new UserError(
        'model/missing-tensor',
        `${join(dir, shard)} lacks tensor ${name}, which ${INDEX_FILE} places there.`,
        'Index and shards come from different exports: download all of them again.',
      );
    }
    tensors.set(name, tensor);
  }
  return tensors;
}

function readWeightMap(path: string): Readonly<Record<string, string>> {
  const index = readJsonFile(path, { code: 'model/index' });
  const map =
    typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined;
  if (typeof map !== 'object' || map === null || Object.keys(map).length === 0) {
    throw new UserError('model/index', `${path} has no weight_map.`, 'Download it again.');
  }
  for (const [name, shard] of Object.entries(map)) {
    // A shard must lie in the folder itself: a path could reach any file of the machine.
    if (typeof shard !== 'string' || shard !== basename(shard) || !shard.endsWith('.safetensors')) {
      throw new UserError(
        'model/index',
        `${path} places ${name} in ${JSON.stringify(shard)}; the name of a .safetensors file in the folder is expected.`,
        'Download it again.',
      );
    }
  }
  return map as Record<string, string>;
}
