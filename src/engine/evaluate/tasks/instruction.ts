/** The instruction form of LLM-Adapters: question, choices and their names in one text. */
import { strip } from './python-text.ts';
import { labelledGold, type Row, rowFault, textOf } from './row.ts';

export interface Instruction {
  readonly question: string;
  readonly choices: readonly string[];
  readonly gold: number;
}

const LAYOUT =
  'An instruction of LLM-Adapters reads "Please choose …: QUESTION", an empty line, "Answer1: … Answer2: …", and "Answer format: answer1/answer2".';

export const isInstruction = ({ value }: Row): boolean => value.instruction !== undefined;

/** @throws UserError `tasks/row` where the text has another form, or the answer is none of its names. */
export function instructionOf(row: Row): Instruction {
  const text = textOf(row, 'instruction');
  const format = /\s*Answer format: (\S+)\s*$/.exec(text);
  const names = format?.[1]?.split('/') ?? [];
  const body = text.slice(0, format?.index);
  const starts = names.map((name) => placeOf(body, name));
  const first = starts[0] ?? -1;
  const begin = body.indexOf(': ') + 2;
  const isOrdered = starts.every((start, i) => start > (i === 0 ? begin : (starts[i - 1] ?? 0)));
  if (names.length < 2 || begin < 2 || !isOrdered)
    throw rowFault(row, '"instruction" is not one of LLM-Adapters', LAYOUT);
  const choices = names.map((name, i) =>
    strip(body.slice((starts[i] ?? 0) + name.length + 2, starts[i + 1] ?? body.length)),
  );
  return {
    question: strip(body.slice(begin, first)),
    choices,
    gold: labelledGold(row, 'answer', names),
  };
}

/** Finds `Answer1: ` for `answer1`; a question may hold its like, so the last one before the others counts. */
function placeOf(body: string, name: string): number {
  const head = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}:`;
  return body.lastIndexOf(head);
}
