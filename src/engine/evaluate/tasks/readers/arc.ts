import { choicesBehind, type Question } from '../question.ts';
import type { Row } from '../row.ts';
import { schoolQuestion } from '../school-question.ts';

/** Both parts of ARC: `{ question, choices: { text, label }, answerKey: "A" }`. */
export function questionOf(row: Row): Question {
  const { question, choices, gold } = schoolQuestion(row);
  return { choices: choicesBehind(`Question: ${question}\nAnswer:`, choices), gold, place: row.place };
}
