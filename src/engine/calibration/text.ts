import { describeText, type TextSource } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { Tokenizer } from '../model/tokenizer.ts';
import { Rng } from '../rotation/random.ts';
import { Breath } from '../runtime/breath.ts';
import { encodePieces } from './encode-text.ts';
import { readUnits } from './text-source.ts';
import { concatenate } from './tokens.ts';

export interface CalibrationOptions {
  /** Their paths are absolute, or addresses on the Hub. */
  readonly texts: readonly TextSource[];
  readonly samples: number;
  readonly sequenceLength: number;
  readonly bos: boolean;
}

/**
 * Token blocks as the reference makes them: every line or row is tokenized on its own (blank ones give nothing), all ids
 * are joined, cut into blocks of one length, and the rest is dropped. Blocks stay in the order of the text.
 * @returns at most `samples` blocks.
 */
export async function readCalibration(
  tokenizer: Tokenizer,
  options: CalibrationOptions,
  signal?: AbortSignal,
): Promise<Int32Array[]> {
  const { samples, sequenceLength, bos } = options;
  const bosId = bos ? beginningOfSequence(tokenizer) : null;
  const fresh = bosId === null ? sequenceLength : sequenceLength - 1;
  const parts = await encodeLines(tokenizer, options.texts, samples * fresh, signal);
  const all = concatenate(parts);
  const blocks = Math.min(samples, Math.floor(all.length / fresh));
  if (blocks === 0) {
    throw new UserError(
      'calibration/too-short',
      `${options.texts.map(describeText).join(', ')}: the calibration text has ${all.length} tokens; one sequence needs ${fresh}.`,
      'Give more text in calibration.text, or a smaller calibration.sequenceLength.',
    );
  }
  return Array.from({ length: blocks }, (_, index) => {
    const block = all.subarray(index * fresh, (index + 1) * fresh);
    return bosId === null ? block : concatenate([Int32Array.of(bosId), block]);
  });
}

/** Encodes line after line, or row after row, up to so many ids or a few more. */
async function encodeLines(
  tokenizer: Tokenizer,
  texts: readonly TextSource[],
  wanted: number,
  signal?: AbortSignal,
): Promise<Int32Array[]> {
  const breath = new Breath(signal);
  const parts: Int32Array[] = [];
  let count = 0;
  for (const text of texts) {
    if (count >= wanted) break;
    const source = describeText(text);
    for await (const line of readUnits(text, signal)) {
      if (line.trim() === '') continue;
      for await (const ids of encodePieces(tokenizer, only(line), { source, wanted, breath })) {
        parts.push(ids);
        count += ids.length;
        if (count >= wanted) break;
      }
      if (count >= wanted) break;
    }
  }
  return parts;
}

async function* only(text: string): AsyncGenerator<string, void> {
  yield text;
}

/** @throws UserError when the tokenizer has no beginning-of-sequence token. */
export function beginningOfSequence(tokenizer: Tokenizer): number {
  if (tokenizer.bosId !== null) return tokenizer.bosId;
  throw new UserError(
    'calibration/no-bos',
    'bos is asked for, but the tokenizer has no beginning-of-sequence token.',
    'Set bos to false, or name bos_token in tokenizer_config.json.',
  );
}

/**
 * The blocks of one optimizer step. The first pass over the text is in its order, without shuffling, as in the
 * reference; when the text is used up, further passes go through a seeded permutation. A function of the step alone,
 * so that a resumed run sees the same batches.
 */
export function batchOfStep(
  blocks: readonly Int32Array[],
  step: number,
  batchSize: number,
  seed: number,
): Int32Array[] {
  return Array.from({ length: batchSize }, (_, index) => {
    const position = step * batchSize + index;
    const pass = Math.floor(position / blocks.length);
    const offset = position % blocks.length;
    return blocks[pass === 0 ? offset : new Rng(seed).split(pass).permutation(blocks.length)[offset]!]!;
  });
}
