import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readJsonFile } from '../../disk/json.ts';
import {
  type ForeignTensor,
  readSafetensorsHeader,
  type SafetensorsFile,
} from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import { MODEL_FOLDER_HINT } from '../../protocol/model-folder.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import { canonicalNames } from './tensor-names.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';

/** What a model's files hold, by the names of transformers where a mapping to these is plain. */
export type StoredTensors = Pick<SafetensorsFile, 'tensors' | 'foreign'>;

/**
 * Reads the headers of a model folder. One file wins over an index, as in transformers.
 * @throws UserError `model/…`, `safetensors/…`
 */
export function readStoredTensors(dir: string): StoredTensors {
  const { tensors, foreign } = readHeaders(dir);
  const names = canonicalNames([...tensors.keys(), ...foreign.keys()]);
  const renamed = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...map].map(([name, tensor]) => [names.get(name) ?? name, tensor]));
  return { tensors: renamed(tensors), foreign: renamed(foreign) };
}

function readHeaders(dir: string): StoredTensors {
  const single = join(dir, SINGLE_FILE);
  if (existsSync(single)) return readSafetensorsHeader(single, 'set aside');
  const index = join(dir, INDEX_FILE);
  if (existsSync(index)) return readShards(dir, index);
  const found = readdirSync(dir).filter((name) => /\.(safetensors|bin|pth?|gguf)$/.test(name));
  throw new UserError(
    'model/no-weights',
    `${dir} has neither ${SINGLE_FILE} nor ${INDEX_FILE}${found.length > 0 ? ` (found ${found.join(', ')})` : ''}.`,
    found.some((name) => name.endsWith('.gguf'))
      ? MODEL_FOLDER_HINT
      : `Save the model with transformers: model.save_pretrained(folder). ${MODEL_FOLDER_HINT}`,
  );
}

function readShards(dir: string, indexPath: string): StoredTensors {
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
  const files = new Map(shards.map((name) => [name, readSafetensorsHeader(join(dir, name), 'set aside')]));
  const tensors = new Map<string, FileTensor>();
  const foreign = new Map<string, ForeignTensor>();
  for (const [name, shard] of Object.entries(weightMap)) {
    const tensor = files.get(shard)?.tensors.get(name);
    const other = files.get(shard)?.foreign.get(name);
    if (tensor) tensors.set(name, tensor);
    else if (other) foreign.set(name, other);
    else {
      throw new UserError(
        'model/missing-tensor',
        `${join(dir, shard)} lacks tensor ${name}, which ${INDEX_FILE} places there.`,
        'Index and shards come from different exports: download all of them again.',
      );
    }
  }
  return { tensors, foreign };
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
