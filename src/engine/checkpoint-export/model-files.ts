/** Files beside the weights of a folder in the form of transformers. */
import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { readJsonFile } from '../../disk/json.ts';
import type { FloatType } from '../../protocol/export-formats.ts';
import { isObject } from '../../protocol/object.ts';
import { writeJson } from '../model/model-folder.ts';

/** What tokenizers, chat templates and end tokens are read from. */
const TEXT_FILES = [
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'generation_config.json',
];

/**
 * Writes `config.json`, that of the model but for what merging changed, and copies what texts need.
 * @param more further keys of `config.json`.
 * @returns names of the files.
 */
export async function writeModelFiles(
  folder: string,
  source: string,
  dtype: FloatType,
  more: object = {},
): Promise<string[]> {
  const found = readJsonFile(join(source, 'config.json'));
  const { dtype: _, quantization_config: __, ...config } = isObject(found) ? found : {};
  const own = { ...config, tie_word_embeddings: false, torch_dtype: dtype, ...more };
  await writeJson(join(folder, 'config.json'), own);
  return ['config.json', ...(await copyTextFiles(folder, source))];
}

/** Copies what texts need. @returns names of the files. */
export async function copyTextFiles(folder: string, source: string): Promise<string[]> {
  const copies = TEXT_FILES.filter((name) => existsSync(join(source, name)));
  for (const name of copies) {
    const to = join(folder, basename(name));
    await writing(to, () => copyFile(join(source, name), to));
  }
  return copies;
}
