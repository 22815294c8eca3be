/** One process at a time works in a run folder. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { writingNow } from '../disk/faults.ts';
import { codeOf, UserError } from '../protocol/errors.ts';
import { writeText } from './files.ts';
import { startHeartbeat } from './heartbeat.ts';
import {
  diskNow,
  holderText,
  type LockFile,
  type LockRecord,
  lockFolder,
  lockNumbers,
  lockPath,
  newestLock,
  readLock,
  STALE_SECONDS,
  stateOf,
} from './lock-files.ts';
import { thisProcess } from './process.ts';

/** Others win the race for a number at most so often in a row. */
const ATTEMPTS = 20;

export interface Taken {
  readonly lock: FolderLock;
  /** In words, the holder that was taken for gone without proof; null where there was none. */
  readonly leftBy: string | null;
}

export interface LockOptions {
  /** Takes it from a holder that is at work, which then stops. */
  readonly force?: boolean;
  /** It is held for a moment only, and needs no sign of life. */
  readonly brief?: boolean;
}

/**
 * Takes the lock of a folder for this process. It ends with the process, or by {@link FolderLock.release}.
 * @throws UserError `runs/busy` while another holds it.
 */
export function takeLock(dir: string, options: LockOptions = {}): Taken {
  return writingNow(lockFolder(dir), () => take(dir, options));
}

/** @returns null while another process holds the folder. */
export function takeLockIfFree(dir: string): FolderLock | null {
  try {
    return takeLock(dir).lock;
  } catch (error) {
    if (error instanceof UserError && error.code === 'runs/busy') return null;
    throw error;
  }
}

function take(dir: string, { force = false, brief = false }: LockOptions): Taken {
  makeFolder(dir);
  const token = randomBytes(12).toString('hex');
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const newest = newestLock(dir);
    const leftBy = newest && judge(dir, newest, token, force);
    const number = (newest?.number ?? 0) + 1;
    const record: LockRecord = {
      version: 1,
      token,
      process: thisProcess(),
      since: new Date().toISOString(),
      released: null,
    };
    if (!create(dir, number, record)) continue;
    removeOlder(dir, number);
    return { lock: new FolderLock(dir, number, record, brief), leftBy };
  }
  throw busy(dir, newestLock(dir), null);
}

/** Its parent is not made: a run folder that was deleted stays deleted. */
function makeFolder(dir: string): void {
  try {
    mkdirSync(lockFolder(dir));
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** @returns the holder in words where it is taken for gone without proof. @throws UserError `runs/busy`. */
function judge(dir: string, newest: LockFile, token: string, force: boolean): string | null {
  const now = diskNow(dir, token);
  const state = stateOf(newest, now);
  if (state === 'released' || state === 'dead') return null;
  const seconds = Math.max(0, Math.round((now - newest.beatMs) / 1000));
  if (state !== 'stale' && !force) throw busy(dir, newest, seconds);
  return holderText(newest.record?.process ?? null, newest.record?.since ?? null, seconds);
}

function busy(dir: string, file: LockFile | null, seconds: number | null): UserError {
  const record = file?.record ?? null;
  const stop = record === null ? '' : ` (kill ${record.process.pid})`;
  return new UserError(
    'runs/busy',
    `The run ${basename(dir)} is at work in ${holderText(record?.process ?? null, record?.since ?? null, seconds)}.`,
    `Wait for it, or stop it there${stop}. If its machine is gone, the run is free ${STALE_SECONDS} s after the last sign of life. --resume with --take-over takes it away now: a process that still works on it then stops.`,
  );
}

/** @returns false where another process was faster. */
function create(dir: string, number: number, record: LockRecord): boolean {
  const path = lockPath(dir, number);
  try {
    writeFileSync(path, textOf(record), { flag: 'wx', flush: true });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  // A listing of before may be old: the lock may have gone on meanwhile, and a number below the highest is no lock.
  if (lockNumbers(dir)[0] === number) return true;
  rmSync(path, { force: true });
  return false;
}

/** The newline at the beginning is what a sign of life writes again. */
function textOf(record: LockRecord): string {
  return `\n${JSON.stringify(record, null, 2)}\n`;
}

/** They count for nothing any more; their holders find them gone. */
function removeOlder(dir: string, number: number): void {
  for (const older of lockNumbers(dir).filter((one) => one < number)) {
    try {
      rmSync(lockPath(dir, older), { force: true });
    } catch {
      return; // A scanner holds it: the number above it is enough.
    }
  }
}

/** Where the disk is full: an empty file without signs of life is free after a minute. */
function abandon(path: string): void {
  try {
    truncateSync(path, 0);
  } catch {
    return; // The lock ends with the process.
  }
}

/** A lock that this process holds, or held. */
export class FolderLock {
  readonly #dir: string;
  readonly #number: number;
  readonly #record: LockRecord;
  readonly #stopHeartbeat: () => void;
  #state: 'held' | 'lost' | 'released' = 'held';

  constructor(dir: string, number: number, record: LockRecord, brief: boolean) {
    this.#dir = dir;
    this.#number = number;
    this.#record = record;
    this.#stopHeartbeat = brief ? () => {} : startHeartbeat(lockPath(dir, number));
  }

  /** True once {@link check} has thrown: nothing may be written any more, nor is there anything to give back. */
  get isLost(): boolean {
    return this.#state === 'lost';
  }

  /**
   * To be called before every write.
   * @throws UserError `runs/taken-over`, `runs/folder-gone`, `runs/lock-gone` where the lock is not this process's now.
   */
  check(): void {
    if (this.#isOurs()) return;
    this.#state = 'lost';
    this.#stopHeartbeat();
    throw this.#loss();
  }

  /** Gives it back, if it is still this process's. */
  release(): void {
    if (this.#state !== 'held') return;
    this.#stopHeartbeat();
    const isOurs = this.#isOurs();
    this.#state = 'released';
    if (!isOurs) return;
    const path = lockPath(this.#dir, this.#number);
    try {
      writeText(path, textOf({ ...this.#record, released: new Date().toISOString() }));
    } catch {
      abandon(path);
    }
  }

  #isOurs(): boolean {
    if (this.#state === 'lost') return false;
    const own = readLock(this.#dir, this.#number);
    return own?.record?.token === this.#record.token && lockNumbers(this.#dir)[0] === this.#number;
  }

  #loss(): UserError {
    const run = `The run ${basename(this.#dir)}`;
    const stops = 'This process stops and writes nothing more.';
    if (!existsSync(this.#dir))
      return new UserError(
        'runs/folder-gone',
        `${run} is gone: the folder ${this.#dir} was deleted or renamed during the run.`,
        `${stops} Start a new run.`,
      );
    const newest = newestLock(this.#dir);
    if (newest === null)
      return new UserError(
        'runs/lock-gone',
        `${run} has lost its lock: ${lockFolder(this.#dir)} was deleted during the run.`,
        `${stops} Go on with --resume.`,
      );
    const holder = newest.record && `process ${newest.record.process.pid} on ${newest.record.process.host}`;
    return new UserError(
      'runs/taken-over',
      `${run} was taken over by ${holder ?? 'another process'}${newest.record ? ` at ${newest.record.since}` : ''}, while process ${process.pid} was at work on it.`,
      `${stops} The run goes on there.`,
    );
  }
}
