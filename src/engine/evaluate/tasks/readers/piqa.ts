import { instructionOf, isInstruction } from '../instruction.ts';
import { choicesBehind, type Question } from '../question.ts';
import { numberedGold, type Row, textOf } from '../row.ts';

/** `{ goal, sol1, sol2, label: 0 }`; the label may stand in a file beside. */
export function questionOf(row: Row): Question {
  const { question, choices, gold } = isInstruction(row)
    ? instructionOf(row)
    : {
        question: textOf(row, 'goal'),
        choices: [textOf(row, 'sol1'), textOf(row, 'sol2')],
        gold: numberedGold(row, 'label', 0, 2),
      };
  return { choices: choicesBehind(`Question: ${question}\nAnswer:`, choices), gold, place: row.place };
}
