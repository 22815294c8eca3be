import { instructionOf, isInstruction } from '../instruction.ts';
import { choicesBehind, type Question } from '../question.ts';
import { labelledGold, numberedGold, type Row, textOf, textsOf } from '../row.ts';

/** `{ context, question, answerA, answerB, answerC, label: "1" }`, or `{ …, options, answer }` with the answer as a text. */
export function questionOf(row: Row): Question {
  const { question, choices, gold } = isInstruction(row) ? instructionOf(row) : ofFields(row);
  return { choices: choicesBehind(`Q: ${question}\nA:`, choices), gold, place: row.place };
}

function ofFields(row: Row) {
  const question = `${textOf(row, 'context')} ${textOf(row, 'question')}`;
  if (row.value.options !== undefined) {
    const choices = textsOf(row, 'options');
    return { question, choices, gold: labelledGold(row, 'answer', choices) };
  }
  const choices = [textOf(row, 'answerA'), textOf(row, 'answerB'), textOf(row, 'answerC')];
  return { question, choices, gold: numberedGold(row, 'label', 1, choices.length) };
}
