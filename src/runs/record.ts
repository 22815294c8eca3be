/** `run.json` records the status of a run and the origin of its numbers. */
import { z } from 'zod';
import { parseVersion1 } from './files.ts';
import { processSchema } from './process.ts';

const statusSchema = z.enum(['running', 'finished', 'paused', 'cancelled', 'interrupted', 'failed']);

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

/** What a run is in the table that an experiment's matrix fills. */
const cellSchema = z.object({
  /** Setting, such as `4-4-16`. */
  bits: z.string(),
  /** Name of the row. */
  method: z.string(),
  /** Name of the row in tables. */
  title: z.string(),
  seed: z.int(),
  /** True where other seeds may give other numbers. */
  seeded: z.boolean(),
  /** Tells the settings: a cell of other settings is another cell. */
  key: z.string(),
  /** Tells the model, the texts and what computes; null until they are known. */
  inputs: z.string().nullable(),
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
  /** Null for a run of its own. */
  cell: cellSchema.nullable().default(null),
  /** Folders of shared results that it used, by their names. Null in records of earlier versions: nobody knows. */
  uses: z.array(z.string()).nullable().default(null),
  /** The reason of a failure. */
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
});

export type RunStatus = z.output<typeof statusSchema>;
export type Provenance = z.output<typeof provenanceSchema>;
export type RunCell = z.output<typeof cellSchema>;
export type RunRecord = z.output<typeof runRecordSchema>;

/** Checks a value read from `run.json`. */
export function parseRunRecord(value: unknown, path: string): RunRecord {
  return parseVersion1(value, path, runRecordSchema, 'the record of a run');
}
