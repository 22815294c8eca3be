/** Questions of science exams, with choices that have labels: the forms that ARC and OpenBookQA share. */
import { isObject } from '../../../protocol/object.ts';
import { type Instruction, instructionOf, isInstruction } from './instruction.ts';
import { asTexts, fieldOf, labelledGold, type Row, rowFault, textOf } from './row.ts';

/**
 * On the hub `{ question or question_stem, choices: { text, label }, answerKey }`, as published
 * `{ question: { stem, choices: [{ text, label }] }, answerKey }`.
 */
export function schoolQuestion(row: Row): Instruction {
  if (isInstruction(row)) return instructionOf(row);
  const { question } = row.value;
  if (isObject(question)) return ofStem(row, { ...row, value: question });
  const choices = fieldOf(row, ['choices']);
  const { text, label } = isObject(choices) ? choices : { text: undefined, label: undefined };
  return {
    question: textOf(row, 'question_stem', 'question'),
    choices: asTexts(row, 'choices.text', text),
    gold: labelledGold(row, 'answerKey', asTexts(row, 'choices.label', label)),
  };
}

/** @param inside the object under `question`. */
function ofStem(row: Row, inside: Row): Instruction {
  const choices = fieldOf(inside, ['choices']);
  if (!Array.isArray(choices) || !choices.every(isObject))
    throw rowFault(row, '"question.choices" is not a list of { text, label }', 'Download the file again.');
  const part = (name: string) =>
    asTexts(
      row,
      `question.choices.${name}`,
      choices.map((choice: Readonly<Record<string, unknown>>) => choice[name]),
    );
  return {
    question: textOf(inside, 'stem'),
    choices: part('text'),
    gold: labelledGold(row, 'answerKey', part('label')),
  };
}
