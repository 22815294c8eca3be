import { type TaskName, taskNamed } from '../../../config/index.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { findTaskFile } from './find-data.ts';
import { labelsBeside, withLabels, withoutLabels } from './labels.ts';
import type { Question } from './question.ts';
import { readRows } from './read-rows.ts';
import { QUESTION_READERS } from './readers/index.ts';

/** A task and the place of its questions. */
export interface TaskData {
  readonly task: TaskName;
  /** Absolute path of a file or folder. */
  readonly data: string;
  /** True where `data` is the folder around the task's own. */
  readonly isAround: boolean;
  /** So many questions are read, from the first on; null for all. */
  readonly limit: number | null;
}

/**
 * Reads the questions of a task in the order of its file. What stands behind the limit is not looked at.
 * @throws UserError `tasks/no-data`, `tasks/layout`, `tasks/row` with file and line, `tasks/labels`, `tasks/empty`.
 */
export async function readQuestions(
  { task, data, isAround, limit }: TaskData,
  signal?: AbortSignal,
): Promise<readonly Question[]> {
  const descriptor = taskNamed(task);
  const file = await findTaskFile(descriptor, data, isAround);
  const labels = labelsBeside(file);
  const rows = readRows(file, signal);
  const questionOf = QUESTION_READERS[task];
  const questions: Question[] = [];
  for await (const row of labels === null ? rows : withLabels(rows, labels, signal)) {
    throwIfCancelled(signal);
    try {
      questions.push(questionOf(row));
    } catch (fault) {
      throw withoutLabels(fault, descriptor, file);
    }
    if (questions.length === limit) break;
  }
  if (questions.length > 0) return questions;
  throw new UserError('tasks/empty', `${file} has no questions.`, 'Download the file again.');
}
