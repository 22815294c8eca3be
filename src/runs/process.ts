/** Processes that hold runs, and whether they are still there. */

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { codeOf } from '../protocol/errors.ts';

/** The process that runs (or ran) it tells a run at work from a killed one. */
export const processSchema = z.object({
  pid: z.int(),
  host: z.string(),
  /** The start of the process in its kernel's clock, since a pid may be given again; null where unknown. */
  startTicks: z.string().nullable(),
  /**
   * The table of processes that the pid stands in: a boot of a kernel, and a namespace in it. A host's name can change,
   * and two containers can share one. Absent where unknown, and in records of earlier versions.
   */
  table: z.string().optional(),
});

export type RunProcess = z.output<typeof processSchema>;

/** Describes this process for a run's record. */
export function thisProcess(): RunProcess {
  const table = processTable();
  return {
    pid: process.pid,
    host: hostname(),
    startTicks: statOf(process.pid)?.startTicks ?? null,
    ...(table !== null && { table }),
  };
}

/** `perhaps`: the pid is in use, maybe by another process. `elsewhere`: its pids are not those of this machine. */
export type Liveness = 'alive' | 'perhaps' | 'dead' | 'elsewhere';

export function livenessOf(owner: RunProcess): Liveness {
  if (!isHere(owner)) return 'elsewhere';
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // With EPERM, it lives and belongs to somebody else. A number that is no pid is of no process.
    if (codeOf(error) !== 'EPERM') return 'dead';
  }
  const found = statOf(owner.pid);
  // A zombie is dead. Its parent has not collected it yet, and in a container perhaps never will.
  if (found?.state === 'Z') return 'dead';
  if (found === null || owner.startTicks === null) return 'perhaps';
  return found.startTicks === owner.startTicks ? 'alive' : 'dead';
}

/** True where the process that a run names may be at work. A process of another machine counts as alive. */
export function isAlive(owner: RunProcess): boolean {
  return livenessOf(owner) !== 'dead';
}

function isHere(owner: RunProcess): boolean {
  const table = processTable();
  return owner.table === undefined || table === null ? owner.host === hostname() : owner.table === table;
}

let knownTable: string | null | undefined;

function processTable(): string | null {
  knownTable ??= readProcessTable();
  return knownTable;
}

/** Linux tells boot and namespace; elsewhere the host's name must do. */
function readProcessTable(): string | null {
  if (process.platform !== 'linux') return null;
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return null; // A sandbox hides them.
  }
}

/**
 * Reads state and start (fields 3 and 22) of Linux' /proc/PID/stat; null where there is none. The name before them may
 * hold spaces and parentheses.
 */
function statOf(pid: number): { readonly state: string; readonly startTicks: string | null } | null {
  if (process.platform !== 'linux') return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, startTicks: fields[19] ?? null };
  } catch {
    return null; // There is no /proc, or the process just ended.
  }
}
