/** Answers that are published in a file of their own, one a line. */
import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { readLines } from '../../../disk/text.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { Row } from './row.ts';

/** Returns `valid-labels.lst` for `valid.jsonl`, where there is one. */
export function labelsBeside(path: string): string | null {
  const labels = `${path.slice(0, -extname(path).length)}-labels.lst`;
  return existsSync(labels) ? labels : null;
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
