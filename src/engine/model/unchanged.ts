/**
 * Weights are read from their files again and again, so a file that is written during a run would mix two models. The
 * files are noted when a model is opened and looked at again before anything is kept that was computed from them.
 */
import { type BigIntStats, statSync } from 'node:fs';
import { UserError } from '../../protocol/errors.ts';

/** A file as it was when it was opened. */
export interface FileMark {
  readonly path: string;
  readonly stat: BigIntStats;
}

/** @throws Error of the file system where one is missing. */
export function markFiles(paths: Iterable<string>): FileMark[] {
  return [...new Set(paths)].map((path) => ({ path, stat: statSync(path, { bigint: true }) }));
}

/**
 * Says what happened to the first file that is another one now; null where all are as they were.
 * Size and time of modification decide. Links and permissions change the inode's time alone, and some network file
 * systems number inodes anew, so these two count only together: then another file of the same time was put in place.
 */
export function changeOf(marks: readonly FileMark[]): string | null {
  for (const { path, stat } of marks) {
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (now === undefined) return `${path} was removed`;
    const isOther = now.ino !== stat.ino || now.dev !== stat.dev;
    const how = isOther ? 'was replaced by another file' : 'was written to';
    if (now.size !== stat.size) return `${path} ${how}: it had ${stat.size} bytes and has ${now.size}`;
    if (now.mtimeNs !== stat.mtimeNs) return `${path} ${how} at ${now.mtime.toISOString()}`;
    if (isOther && now.ctimeNs !== stat.ctimeNs) return `${path} ${how} of the same size and time`;
  }
  return null;
}

/** @throws UserError `model/changed` where a file is not what it was. */
export function assertUnchanged(marks: readonly FileMark[]): void {
  const change = changeOf(marks);
  if (change === null) return;
  throw new UserError(
    'model/changed',
    `${change}, after this job had opened it.`,
    'Nothing is kept of what was computed since. Put the file back and resume, or start anew with the new one; let nothing write to it meanwhile.',
  );
}
