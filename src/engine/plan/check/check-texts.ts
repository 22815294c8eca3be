/** Texts that are too short for one sequence, rows without the field, and tokenizers that cannot read them. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import {
  calibrationPath,
  choosesKeyOffset,
  hasLearnedRotation,
  type JsonPath,
  methodsThatRead,
  type Purpose,
  pathOf,
  quantizersReadText,
  type Reading,
  type RuleFault,
  type TextSource,
  withPath,
} from '../../../config/index.ts';
import { hasRows } from '../../../formats/rows.ts';
import { locateText, resolveText } from '../../../hub/locate.ts';
import { UserError } from '../../../protocol/errors.ts';
import { readCalibration } from '../../calibration/text.ts';
import { readUnits } from '../../calibration/text-source.ts';
import type { ModelConfig } from '../../model/config.ts';
import { openTokenizer, type Tokenizer } from '../../model/tokenizer.ts';
import { evaluationText } from '../workbench.ts';

/** Texts with more bytes for each token of a sequence are not tokenized here: they are hardly too short. */
const BYTES_PER_TOKEN = 16;

/** Faults of the tokenizer stand at the model, those of a text at its path. */
export async function textFaults(
  reading: Reading,
  model: string,
  config: ModelConfig,
  directory: string,
  purpose: Purpose,
): Promise<RuleFault[]> {
  const { ask } = reading;
  const tokenizers: Tokenizer[] = [];
  const fault = await faultOf(['model'], async () => {
    tokenizers.push(rememberedTokenizer(model, config.vocabSize));
  });
  const [tokenizer] = tokenizers;
  if (tokenizer === undefined) return fault === null ? [] : [fault];
  const tasks = ask(({ evaluation }) => evaluation.perplexity.length) ?? 0;
  const faults = [
    ...(readsCalibration(ask, purpose) ? await calibrationFaults(reading, tokenizer, directory) : []),
    ...(purpose === 'inspect'
      ? []
      : await Promise.all(
          Array.from({ length: tasks }, (_, index) => taskFault(ask, index, tokenizer, directory)),
        )),
  ];
  return faults.filter((found) => found !== null);
}

type Ask = Reading['ask'];

/**
 * True where a job reads the calibration text: to learn, to measure activations, or for the methods that must see it.
 * While a file is edited, no job is chosen: a text that is named may be read by any.
 */
export function readsCalibration(ask: Ask, purpose: Purpose): boolean {
  if (purpose === 'inspect' || purpose === 'optimize') return true;
  const texts = ask(({ calibration }) => calibration.text.length) ?? 0;
  if (purpose === 'edit' && texts > 0) return true;
  const learns = purpose === 'edit' && (ask(({ rotation }) => hasLearnedRotation(rotation)) ?? false);
  const quantizers = ask(({ quantization }) => quantizersReadText(quantization)) ?? false;
  const chosen = ask(choosesKeyOffset) ?? false;
  return learns || quantizers || chosen || (ask((experiment) => methodsThatRead(experiment).length) ?? 0) > 0;
}

async function calibrationFaults(
  reading: Reading,
  tokenizer: Tokenizer,
  directory: string,
): Promise<(RuleFault | null)[]> {
  const options = reading.ask(({ calibration: { text, sequenceLength, bos } }) => ({
    texts: text.map((source) => withPath(source, (path) => resolveText(directory, path))),
    samples: 1,
    sequenceLength,
    bos,
  }));
  if (options === undefined || options.texts.length === 0) return [];
  const { texts, sequenceLength } = options;
  const faults = await Promise.all(
    texts.map((source, index) => rowFault(calibrationPath(reading, index), source)),
  );
  if (faults.some((fault) => fault !== null) || !areShort(texts, sequenceLength)) return faults;
  return [await faultOf(['calibration', 'text'], () => readCalibration(tokenizer, options))];
}

async function taskFault(
  ask: Ask,
  index: number,
  tokenizer: Tokenizer,
  directory: string,
): Promise<RuleFault | null> {
  const task = ask(({ evaluation }) => {
    const { name, text, sequenceLength, bos } = evaluation.perplexity[index]!;
    const resolved = withPath(text, (path) => resolveText(directory, path));
    return { name, text: resolved, sequenceLength, bos, maxWindows: 1 };
  });
  if (task === undefined) return null;
  const path = ['evaluation', 'perplexity', index, 'text'];
  const fault = await rowFault(path, task.text);
  if (fault !== null || !areShort([task.text], task.sequenceLength)) return fault;
  return faultOf(path, () => evaluationText(tokenizer, task));
}

/** Looks at the first row of data files. A parquet file tells its fields, and whether it is whole, in its footer. */
async function rowFault(path: JsonPath, source: TextSource): Promise<RuleFault | null> {
  const files = plainFiles(source);
  if (files === null || !files.some(hasRows)) return null;
  return faultOf(path, async () => {
    for await (const _ of readUnits(source)) return;
  });
}

function areShort(sources: readonly TextSource[], sequenceLength: number): boolean {
  let bytes = 0;
  for (const source of sources) {
    const files = plainFiles(source);
    if (files === null) return false;
    for (const file of files) bytes += statSync(file).size;
  }
  return bytes < BYTES_PER_TOKEN * sequenceLength;
}

/**
 * The files of a source; null where it is not there, or is no plain file: that is a fault already, or may not end.
 */
function plainFiles(source: TextSource): string[] | null {
  const split = typeof source === 'string' ? null : source.split;
  const files = attempt(() => locateText(pathOf(source), split));
  const isPlain = files?.every((file) => statSync(file, { throwIfNoEntry: false })?.isFile()) ?? false;
  return isPlain ? files : null;
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) return null; // The experiment's own check reports it.
    throw error;
  }
}

async function faultOf(path: JsonPath, work: () => Promise<unknown>): Promise<RuleFault | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { severity: 'error', code: error.code, message: error.message, hint: error.hint, path };
  }
}

let remembered: { readonly key: string; readonly tokenizer: Tokenizer } | null = null;

/** Tokenizers take up to seconds to read, and an experiment is checked at every pause in typing. */
function rememberedTokenizer(model: string, vocabSize: number): Tokenizer {
  const times = ['tokenizer.json', 'tokenizer_config.json'].map(
    (name) => statSync(join(model, name), { throwIfNoEntry: false })?.mtimeMs,
  );
  const key = JSON.stringify([model, vocabSize, times]);
  if (remembered?.key !== key) remembered = { key, tokenizer: openTokenizer(model, vocabSize) };
  return remembered.tokenizer;
}
