/** `run.json` records the status of a run and the origin of its numbers. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { UserError } from '../protocol/errors.ts';

const statusSchema = z.enum(['running', 'finished', 'cancelled', 'interrupted', 'failed']);

/** The process that runs (or ran) it tells a run at work from a killed one. */
const processSchema = z.object({
  pid: z.int(),
  host: z.string(),
  /** The start of the process in its kernel's clock, since a pid may be given again; null where unknown. */
  startTicks: z.string().nullable(),
});

const provenanceSchema = z.object({
  productVersion: z.string(),
  ortVersion: z.string(),
  kernels: z.enum(['native', 'composed']),
  /** The runtime, in words for people. */
  runtime: z.string(),
  threads: z.int(),
  /** `cpu`, `webgpu` or `cuda`. */
  device: z.string(),
  /** ONNX Runtime's name of what ran the graphs. Null in records of earlier versions, here and below. */
  executionProvider: z.string().nullable().default(null),
  /** The GPU or its driver; null on the processor. */
  adapter: z.string().nullable().default(null),
  /** The reason why `auto` took this device; null where it was named. */
  deviceReason: z.string().nullable().default(null),
  node: z.string(),
  /** An example is `linux-x64`. */
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
  /** The time is ISO 8601 in UTC. */
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  /** The path of the experiment file is relative to the run folder, with `/`. */
  experimentFile: z.string(),
  /** Setting, such as `W4A4KV4`. */
  bits: z.string(),
  process: processSchema,
  /** It is null until the model and the runtime are loaded. */
  provenance: provenanceSchema.nullable(),
  /** The reason of a failure. */
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
});

export type RunStatus = z.output<typeof statusSchema>;
export type RunProcess = z.output<typeof processSchema>;
export type Provenance = z.output<typeof provenanceSchema>;
export type RunRecord = z.output<typeof runRecordSchema>;

/** Checks a value read from `run.json`. */
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

/** Describes this process for a run's record. */
export function thisProcess(): RunProcess {
  return { pid: process.pid, host: hostname(), startTicks: statOf(process.pid)?.startTicks ?? null };
}

/** True where the process that a run names is at work. A process of another machine counts as alive. */
export function isAlive(owner: RunProcess): boolean {
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // With EPERM, it lives and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const found = statOf(owner.pid);
  // A zombie is dead. Its parent has not collected it yet, and in a container perhaps never will.
  if (found?.state === 'Z') return false;
  return found === null || owner.startTicks === null || found.startTicks === owner.startTicks;
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
