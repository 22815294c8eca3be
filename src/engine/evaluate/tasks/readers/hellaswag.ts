import { instructionOf, isInstruction } from '../instruction.ts';
import { capitalize, strip } from '../python-text.ts';
import { choicesBehind, type Question } from '../question.ts';
import { numberedGold, type Row, textOf, textsOf } from '../row.ts';

/**
 * `{ activity_label, ctx_a, ctx_b, endings, label: "3" }`. The text form and that of LLM-Adapters hold `activity: context`
 * in one piece: there the second half of the context keeps its small first letter.
 */
export function questionOf(row: Row): Question {
  const { question, choices, gold } = isInstruction(row) ? instructionOf(row) : ofFields(row);
  return {
    choices: choicesBehind(withoutMarks(question), choices.map(withoutMarks)),
    gold,
    place: row.place,
  };
}

function ofFields(row: Row) {
  const choices = textsOf(row, 'endings');
  const gold = numberedGold(row, 'label', 0, choices.length);
  if (row.value.query !== undefined) return { question: textOf(row, 'query'), choices, gold };
  const context = `${textOf(row, 'ctx_a')} ${capitalize(textOf(row, 'ctx_b'))}`;
  return { question: `${textOf(row, 'activity_label')}: ${context}`, choices, gold };
}

/** Takes out what WikiHow's headings left, as lm-evaluation-harness does. */
function withoutMarks(text: string): string {
  return strip(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}
