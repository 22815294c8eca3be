import { EXPERIMENT_FORMATS } from './experiments.ts';
import { FAULTY } from './faulty.ts';
import type { Format } from './format.ts';
import { IMPORT_FORMATS } from './imports.ts';
import { MODEL_FORMATS } from './models.ts';
import { ROW_FORMATS } from './rows.ts';
import { RUN_FORMATS } from './run-files.ts';
import { TENSOR_FORMATS } from './tensors.ts';
import { TOKENIZER_FORMATS } from './tokenizers.ts';

export const FORMATS: readonly Format[] = [
  ...TENSOR_FORMATS,
  ...IMPORT_FORMATS,
  ...MODEL_FORMATS,
  ...TOKENIZER_FORMATS,
  ...EXPERIMENT_FORMATS,
  ...ROW_FORMATS,
  ...RUN_FORMATS,
];

/** @throws RangeError with the names that there are. */
export function formatNamed(name: string): Format {
  const found = [...FORMATS, FAULTY].find((format) => format.name === name);
  if (found) return found;
  throw new RangeError(`There is no format ${name}; there are ${FORMATS.map((one) => one.name).join(', ')}.`);
}
