import { choicesBehind, type Question } from '../question.ts';
import { fieldOf, numberedGold, type Row, rowFault, shown, textOf } from '../row.ts';

const CHOICES = ['no', 'yes'];

/** `{ passage, question, answer: true }`; in SuperGLUE `label`, and the title stands before the passage. */
export function questionOf(row: Row): Question {
  const passage = textOf(row, 'passage');
  const question = textOf(row, 'question');
  const gold = goldOf(row);
  return {
    choices: choicesBehind(`${passage}\nQuestion: ${question}?\nAnswer:`, CHOICES),
    gold,
    place: row.place,
  };
}

function goldOf(row: Row): number {
  const answer = fieldOf(row, ['answer', 'label']);
  if (typeof answer === 'boolean') return Number(answer);
  if (row.value.answer === undefined) return numberedGold(row, 'label', 0, CHOICES.length);
  throw rowFault(row, `"answer" is ${shown(answer)}; it must be true or false`, 'Download the file again.');
}
