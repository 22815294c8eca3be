import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../../disk/json.ts';
import { UserError } from '../../protocol/errors.ts';
import { isObject } from '../../protocol/object.ts';

const KEY = 'eos_token_id';

/**
 * Tokens that end a text: `eos_token_id` of `generation_config.json`, a number or a list, or else that of `config.json`.
 * Empty where neither names one.
 * @throws UserError `model/end-token`, and those of reading JSON.
 */
export function readEndTokens(dir: string): readonly number[] {
  for (const name of ['generation_config.json', 'config.json']) {
    const path = join(dir, name);
    if (!existsSync(path)) continue;
    const file = readJsonFile(path);
    const found = isObject(file) ? (file[KEY] ?? null) : null;
    if (found !== null) return checked(path, found);
  }
  return [];
}

function checked(path: string, found: unknown): readonly number[] {
  const ids: readonly unknown[] = Array.isArray(found) ? found : [found];
  return ids.map((id) => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
    throw new UserError(
      'model/end-token',
      `${path}: ${KEY} is ${JSON.stringify(found)}; allowed is the id of a token, or a list of ids.`,
      'Use the file that came with the model, or correct it.',
    );
  });
}
