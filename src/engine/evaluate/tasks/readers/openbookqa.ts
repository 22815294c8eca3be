import { choicesBehind, type Question } from '../question.ts';
import { labelledGold, type Row, rowFault, textOf } from '../row.ts';
import { schoolQuestion } from '../school-question.ts';

/** `{ question_stem, choices: { text, label }, answerKey: "A" }`, or the columns of the published table. */
export function questionOf(row: Row): Question {
  const { question, choices, gold } =
    row.value['Question Stem'] === undefined ? schoolQuestion(row) : ofTable(row);
  return { choices: choicesBehind(question, choices), gold, place: row.place };
}

/** Choices stand in one cell: `(A) a marsh (B) a tundra (C) the plains (D) a desert`. */
function ofTable(row: Row) {
  const cell = textOf(row, 'Choices');
  const found = /^\(A\) (.*) \(B\) (.*) \(C\) (.*) \(D\) (.*)$/.exec(cell);
  if (!found) throw rowFault(row, '"Choices" is not (A) … (B) … (C) … (D) …', 'Download the file again.');
  const [, ...choices] = found;
  const gold = labelledGold(row, 'Answer Key', ['A', 'B', 'C', 'D']);
  return { question: textOf(row, 'Question Stem'), choices, gold };
}
