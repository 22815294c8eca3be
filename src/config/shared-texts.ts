/** Texts that are learned on and measured on, which makes a perplexity flatter. */
import { closeSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { locateText } from '../hub/locate.ts';
import { UserError } from '../protocol/errors.ts';
import { hasLearnedRotation, methodsThatRead } from './derived.ts';
import type { RuleFault } from './faults.ts';
import type { Experiment } from './schema.ts';
import { describeText, pathOf, type TextSource } from './schema-text.ts';

export interface SharedText {
  /** Places in `calibration.text` and `evaluation.perplexity`. */
  readonly calibration: number;
  readonly evaluation: number;
  /** `content` where two files hold the same bytes. */
  readonly by: 'path' | 'content';
}

type Texts = Pick<Experiment, 'calibration' | 'evaluation'>;

/** True where the numbers of an experiment depend on its calibration text. */
export function learnsOnText(experiment: Experiment): boolean {
  return hasLearnedRotation(experiment.rotation) || methodsThatRead(experiment).length > 0;
}

/** The first text of the calibration that each evaluation shares a file with. @param texts with resolved paths. */
export function sharedTexts({ calibration, evaluation }: Texts): SharedText[] {
  return evaluation.perplexity.flatMap(({ text }, index) => {
    for (const [place, learned] of calibration.text.entries()) {
      const by = sharing(learned, text);
      if (by !== null) return [{ calibration: place, evaluation: index, by }];
    }
    return [];
  });
}

/**
 * A warning at each evaluation that measures what was learned on.
 * @param texts with resolved paths.
 * @param written the same as they are written.
 */
export function sharedTextFaults(texts: Texts, written: Texts = texts): RuleFault[] {
  return sharedTexts(texts).map(({ calibration, evaluation, by }) => {
    const task = written.evaluation.perplexity[evaluation];
    const learned = written.calibration.text[calibration];
    const measured = task ? describeText(task.text) : '';
    const same =
      by === 'path'
        ? 'is also learned on'
        : `has the same content as ${learned ? describeText(learned) : ''}, which is learned on`;
    return {
      severity: 'warning',
      code: 'config/shared-text',
      path: ['evaluation', 'perplexity', evaluation, 'text'],
      message: `evaluation.perplexity[${evaluation}].text: ${measured} ${same}: its perplexity flatters.`,
      hint: 'Measure on a text that is not in calibration.text: the test split of the data set, for example.',
    };
  });
}

function sharing(learned: TextSource, measured: TextSource): SharedText['by'] | null {
  if (fieldOf(learned) !== fieldOf(measured)) return null;
  const [own, other] = [filesOf(learned), filesOf(measured)];
  if (own.some((file) => other.includes(file))) return 'path';
  return own.some((file) => other.some((measuredFile) => haveSameBytes(file, measuredFile)))
    ? 'content'
    : null;
}

/** Plain text has no fields, whatever is written. */
function fieldOf(source: TextSource): string {
  return typeof source === 'string' ? 'text' : source.field;
}

/** What cannot be found has its name alone. */
function filesOf(source: TextSource): readonly string[] {
  const split = typeof source === 'string' ? null : source.split;
  try {
    return locateText(pathOf(source), split) ?? [JSON.stringify([pathOf(source), split])];
  } catch (error) {
    if (error instanceof UserError) return []; // The check of the files reports it.
    throw error;
  }
}

const CHUNK = 1 << 20;
const compared = new Map<string, boolean>();

/** Files of the same size are read until they differ, once for each state of the two. */
function haveSameBytes(a: string, b: string): boolean {
  const [first, second] = [plainFile(a), plainFile(b)];
  if (first === null || second === null || first.size !== second.size || first.size === 0) return false;
  if (first.dev === second.dev && first.ino === second.ino && first.ino !== 0) return true;
  const key = JSON.stringify([a, first.mtimeMs, b, second.mtimeMs, first.size]);
  const known = compared.get(key) ?? readAlike(a, b, first.size);
  compared.set(key, known);
  return known;
}

function plainFile(path: string): Stats | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found : null;
}

function readAlike(a: string, b: string, size: number): boolean {
  const [own, other] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
  const open: number[] = [];
  try {
    for (const path of [a, b]) open.push(openSync(path, 'r'));
    const [first, second] = open as [number, number]; // Both were opened just now.
    for (let at = 0; at < size; at += CHUNK) {
      const read = readSync(first, own, 0, CHUNK, at);
      if (readSync(second, other, 0, CHUNK, at) !== read || read === 0) return false;
      if (!own.subarray(0, read).equals(other.subarray(0, read))) return false;
    }
    return true;
  } catch {
    return false; // Whoever reads the text reports why it cannot be read.
  } finally {
    for (const file of open) closeSync(file);
  }
}
