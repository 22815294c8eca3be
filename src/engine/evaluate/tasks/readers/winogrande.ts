import { instructionOf, isInstruction } from '../instruction.ts';
import { strip } from '../python-text.ts';
import type { Question } from '../question.ts';
import { numberedGold, type Row, rowFault, textOf } from '../row.ts';

/**
 * `{ sentence, option1, option2, answer: "1" }`. Each option is put into the sentence, and what is measured is the rest of
 * the sentence behind it (partial scoring, Trinh and Le 2018): the rest is the same text for both.
 */
export function questionOf(row: Row): Question {
  const { question, choices, gold } = isInstruction(row)
    ? instructionOf(row)
    : {
        question: textOf(row, 'sentence'),
        choices: [textOf(row, 'option1'), textOf(row, 'option2')],
        gold: numberedGold(row, 'answer', 1, 2),
      };
  const gap = question.indexOf('_');
  if (gap < 0) throw rowFault(row, 'the sentence has no gap "_"', 'Download the file again.');
  const rest = strip(question.slice(gap + 1));
  return {
    choices: choices.map((option) => ({
      context: question.slice(0, gap) + option,
      continuation: ` ${rest}`,
      bytes: Buffer.byteLength(rest),
    })),
    gold,
    place: row.place,
  };
}
