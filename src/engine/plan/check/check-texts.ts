/** Texts that are too short for one sequence, and tokenizers that cannot read them. */
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  hasLearnedRotation,
  type JsonPath,
  methodsThatRead,
  type Purpose,
  type Reading,
  type RuleFault,
} from '../../../config/index.ts';
import { UserError } from '../../../protocol/errors.ts';
import { readCalibration } from '../../calibration/text.ts';
import type { ModelConfig } from '../../model/config.ts';
import { openTokenizer, type Tokenizer } from '../../model/tokenizer.ts';
import { evaluationText } from '../workbench.ts';

/** Texts with more bytes for each token of a sequence are not tokenized here: they are hardly too short. */
const BYTES_PER_TOKEN = 16;

/** Faults of the tokenizer stand at the model, those of a text at its path. */
export async function textFaults(
  { ask }: Reading,
  model: string,
  config: ModelConfig,
  directory: string,
  purpose: Purpose,
): Promise<RuleFault[]> {
  const tokenizers: Tokenizer[] = [];
  const fault = await faultOf(['model'], async () => {
    tokenizers.push(rememberedTokenizer(model, config.vocabSize));
  });
  const [tokenizer] = tokenizers;
  if (tokenizer === undefined) return fault === null ? [] : [fault];
  const tasks = ask(({ evaluation }) => evaluation.perplexity.length) ?? 0;
  const faults = [
    readsCalibration(ask, purpose) ? await calibrationFault(ask, tokenizer, directory) : null,
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
  return learns || (ask((experiment) => methodsThatRead(experiment).length) ?? 0) > 0;
}

async function calibrationFault(
  ask: Ask,
  tokenizer: Tokenizer,
  directory: string,
): Promise<RuleFault | null> {
  const options = ask(({ calibration: { text, sequenceLength, bos } }) => ({
    texts: text.map((path) => resolve(directory, path)),
    samples: 1,
    sequenceLength,
    bos,
  }));
  if (options === undefined || options.texts.length === 0) return null;
  if (!areShort(options.texts, options.sequenceLength)) return null;
  return faultOf(['calibration', 'text'], () => readCalibration(tokenizer, options));
}

async function taskFault(
  ask: Ask,
  index: number,
  tokenizer: Tokenizer,
  directory: string,
): Promise<RuleFault | null> {
  const task = ask(({ evaluation }) => {
    const { name, text, sequenceLength, bos } = evaluation.perplexity[index]!;
    return { name, text: resolve(directory, text), sequenceLength, bos, maxWindows: 1 };
  });
  if (task === undefined || !areShort([task.text], task.sequenceLength)) return null;
  return faultOf(['evaluation', 'perplexity', index, 'text'], () => evaluationText(tokenizer, task));
}

/** Only plain files are read: anything else is a fault already, or may not end. */
function areShort(files: readonly string[], sequenceLength: number): boolean {
  let bytes = 0;
  for (const file of files) {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (!stats?.isFile()) return false;
    bytes += stats.size;
  }
  return bytes < BYTES_PER_TOKEN * sequenceLength;
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
