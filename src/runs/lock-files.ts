/**
 * The files of a folder's lock: `lock/00000001.json` and so on. The highest number counts, and a number is given once,
 * by creating its file exclusively. Taking over is creating the next one, so that of two takers one fails. Renaming or
 * deleting the file of a dead holder could hit that of a new one instead.
 */

import { closeSync, fstatSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { codeOf } from '../protocol/errors.ts';
import { RUN_FILES } from './files.ts';
import { livenessOf, processSchema, type RunProcess } from './process.ts';

/** A holder that gave no sign of life for so long is taken for gone. It gives one every five seconds. */
export const STALE_SECONDS = 60;

/** Listings that are tried while they name nothing that is there. */
const LISTINGS = 3;

const lockSchema = z.object({
  version: z.literal(1),
  /** Drawn by the holder. */
  token: z.string(),
  process: processSchema,
  /** ISO 8601 in UTC, here and below. */
  since: z.string(),
  /** The holder gave it back then; null while it is held. */
  released: z.string().nullable(),
});

export type LockRecord = z.output<typeof lockSchema>;

export interface LockFile {
  readonly number: number;
  readonly path: string;
  /** Null in the moment in which a file is new and empty, and for a damaged one. */
  readonly record: LockRecord | null;
  /** The last sign of life, in milliseconds since 1970 by the clock of the disk. */
  readonly beatMs: number;
}

/** What the highest lock says. `alive` and `dead` are certain; `fresh` and `stale` are judged by the last sign of life. */
export type LockState = 'released' | 'alive' | 'dead' | 'fresh' | 'stale';

export const lockFolder = (dir: string): string => join(dir, RUN_FILES.lock);
export const lockPath = (dir: string, number: number): string =>
  join(lockFolder(dir), `${String(number).padStart(8, '0')}.json`);

/** Numbers of the locks in a folder, the highest first. */
export function lockNumbers(dir: string): number[] {
  try {
    return readdirSync(lockFolder(dir))
      .flatMap((name) => /^(\d{8,15})\.json$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** The lock that counts; null where there never was one, as in runs of earlier versions. */
export function newestLock(dir: string): LockFile | null {
  // A listing may name files that were deleted since; over a network it may be half a minute old.
  for (let attempt = 0; attempt < LISTINGS; attempt++) {
    for (const number of lockNumbers(dir)) {
      const file = readLock(dir, number);
      if (file !== null) return file;
    }
  }
  return null;
}

/** Opened, not only looked at: over a network, opening asks the server, and looking may not. @returns null if gone. */
export function readLock(dir: string, number: number): LockFile | null {
  const path = lockPath(dir, number);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (['ENOENT', 'ESTALE'].includes(codeOf(error) ?? '')) return null;
    throw error;
  }
  try {
    const { mtimeMs } = fstatSync(file);
    return { number, path, record: parseLock(readFileSync(file, 'utf8')), beatMs: mtimeMs };
  } finally {
    closeSync(file);
  }
}

function parseLock(text: string): LockRecord | null {
  try {
    return lockSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** @param nowMs the present by the clock of the disk. */
export function stateOf({ record, beatMs }: LockFile, nowMs: number): LockState {
  if (record?.released) return 'released';
  const liveness = record === null ? 'elsewhere' : livenessOf(record.process);
  if (liveness === 'dead' || liveness === 'alive') return liveness;
  return nowMs - beatMs > STALE_SECONDS * 1000 ? 'stale' : 'fresh';
}

/** True while a process is at work in a folder, for who only looks: the folder is left alone, and this clock asked. */
export function isLocked(dir: string): boolean {
  const lock = newestLock(dir);
  return lock !== null && ['alive', 'fresh'].includes(stateOf(lock, Date.now()));
}

/** The present by the clock of the disk, which may be a server's: the time of a file made now. */
export function diskNow(dir: string, token: string): number {
  const path = join(lockFolder(dir), `.clock.${token}.tmp`);
  const file = openSync(path, 'wx');
  try {
    return fstatSync(file).mtimeMs;
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}

/** `process 12 on build-7 since 2026-01-31T09:45:00.000Z; its last sign of life was 3 s ago`. */
export function holderText(holder: RunProcess | null, since: string | null, seconds: number | null): string {
  const who = holder === null ? 'a process that is not known' : `process ${holder.pid} on ${holder.host}`;
  const started = since === null ? '' : ` since ${since}`;
  const ago = seconds === null ? 'it gives no sign of life' : `its last sign of life was ${seconds} s ago`;
  return `${who}${started}; ${ago}`;
}
