/** `run.json`: the status of a run and where its numbers come from. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { UserError } from '../protocol/errors.ts';

const statusSchema = z.enum(['running', 'finished', 'cancelled', 'interrupted', 'failed']);

/** The process that runs (or ran) it; tells a run at work from one that was killed. */
const processSchema = z.object({
  pid: z.int(),
  host: z.string(),
  /** When the process started, in the clock of its kernel, where that can be known: a pid may be given again. */
  startTicks: z.string().nullable(),
});

const provenanceSchema = z.object({
  productVersion: z.string(),
  ortVersion: z.string(),
  kernels: z.enum(['native', 'composed']),
  /** The runtime for people. */
  runtime: z.string(),
  threads: z.int(),
  /** `cpu`, `webgpu` or `cuda`. */
  device: z.string(),
  /** ONNX Runtime's name of what ran the graphs; null in records of versions that did not say, as below. */
  executionProvider: z.string().nullable().default(null),
  /** The GPU or its driver; null on the processor. */
  adapter: z.string().nullable().default(null),
  /** Why `auto` took this device; null where it was asked for by name. */
  deviceReason: z.string().nullable().default(null),
  node: z.string(),
  /** Such as `linux-x64`. */
  platform: z.string(),
  model: z.object({
    path: z.string(),
    /** SHA-256 over the files of the model, in hexadecimal. */
    sha256: z.string(),
  }),
  seeds: z.object({ calibration: z.int(), rotation: z.int() }),
});

export const runRecordSchema = z.object({
  version: z.literal(1),
  /** Name of the run folder. */
  id: z.string(),
  status: statusSchema,
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  /** Path of the experiment file, relative to the run folder, with `/`. */
  experimentFile: z.string(),
  /** Setting, such as `W4A4KV4`. */
  bits: z.string(),
  process: processSchema,
  /** Null until the model and the runtime are loaded. */
  provenance: provenanceSchema.nullable(),
  /** Why the run failed. */
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
});

export type RunStatus = z.output<typeof statusSchema>;
export type RunProcess = z.output<typeof processSchema>;
export type Provenance = z.output<typeof provenanceSchema>;
export type RunRecord = z.output<typeof runRecordSchema>;

/** Checks what was read from `run.json`. */
export function parseRunRecord(value: unknown, path: string): RunRecord {
  const result = runRecordSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UserError(
    'runs/damaged',
    `${path} is not the record of a run: ${issue.path.join('.') || 'the file'}: ${issue.message}.`,
    'Delete the run folder, or use the version of SpinQuant Lab that wrote it.',
  );
}

/** This process, as a run remembers it. */
export function thisProcess(): RunProcess {
  return { pid: process.pid, host: hostname(), startTicks: statOf(process.pid)?.startTicks ?? null };
}

/** Whether the process that a run names is at work. On another machine nobody can tell: taken for alive. */
export function isAlive(owner: RunProcess): boolean {
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const found = statOf(owner.pid);
  // Dead, and only not yet collected by its parent: in a container perhaps never.
  if (found?.state === 'Z') return false;
  return found === null || owner.startTicks === null || found.startTicks === owner.startTicks;
}

/**
 * State and start (fields 3 and 22) of Linux' /proc/PID/stat; null where there is none. The name before them may hold
 * spaces and parentheses.
 */
function statOf(pid: number): { readonly state: string; readonly startTicks: string | null } | null {
  if (process.platform !== 'linux') return null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, startTicks: fields[19] ?? null };
  } catch {
    return null; // No /proc, or the process just ended.
  }
}
