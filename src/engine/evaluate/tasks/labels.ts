/** Answers that are published in a file of their own, one a line. */
import { existsSync } from 'node:fs';
import { basename, extname } from 'node:path';
import type { TaskDescriptor, TaskName } from '../../../config/index.ts';
import { readLines } from '../../../disk/text.ts';
import { UserError } from '../../../protocol/errors.ts';
import { MissingField, type Row } from './row.ts';

/** Returns `valid-labels.lst` for `valid.jsonl`, where there is one. */
export function labelsBeside(path: string): string | null {
  const labels = labelsPath(path);
  return existsSync(labels) ? labels : null;
}

function labelsPath(path: string): string {
  return `${path.slice(0, -extname(path).length)}-labels.lst`;
}

/** Tasks whose authors publish the answers apart, as {@link LABEL} of each row. */
const PUBLISHED_APART: readonly string[] = ['piqa', 'social_iqa'] satisfies TaskName[];
const LABEL = 'label';

/** The fault of a row that has all but its answer, where the file with the answers is not there; others stay as they are. */
export function withoutLabels(fault: unknown, { name, title }: TaskDescriptor, path: string): unknown {
  const isApart = fault instanceof MissingField && fault.field === LABEL && PUBLISHED_APART.includes(name);
  const labels = labelsPath(path);
  if (!isApart || existsSync(labels)) return fault;
  return new UserError(
    'tasks/labels',
    `${labels} is not there: the questions of ${title} in ${basename(path)} have no "${LABEL}", and their answers are looked for in that file.`,
    `Put ${basename(labels)} of the same download there, with one answer a line, or name a file whose rows have a "${LABEL}".`,
  );
}

/**
 * Adds to each row its answer, as `label`. A row with an answer of its own keeps that.
 * @throws UserError `tasks/labels` where the files do not have as many lines.
 */
export async function* withLabels(
  rows: AsyncGenerator<Row, void>,
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<Row, void> {
  const labels: string[] = [];
  for await (const line of readLines(path, signal)) labels.push(line.trim());
  while (labels.at(-1) === '') labels.pop();
  let count = 0;
  for await (const row of rows) {
    const label = labels[count++];
    if (label === undefined) throw fault(path, `it has ${labels.length} answers, none for ${row.place()}`);
    yield { ...row, value: { label, ...row.value } };
  }
  if (count < labels.length) throw fault(path, `it has ${labels.length} answers for ${count} questions`);
}

function fault(path: string, found: string): UserError {
  return new UserError(
    'tasks/labels',
    `${path} does not belong to the questions beside it: ${found}.`,
    'Download both files again.',
  );
}
