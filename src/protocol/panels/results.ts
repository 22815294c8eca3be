/** Contract of the results panel: which setting is best, and why do two runs differ? */
import { z } from 'zod';
import type { MeanLoss } from '../perplexity.ts';
import { TABLE_FORMATS } from '../table-formats.ts';
import { beginSchema, type RunName, type RunState, readySchema, runDirSchema } from './common.ts';
import { type MatrixPart, PICTURE_FORMATS } from './matrix.ts';
import { PANEL_NAMES } from './registry.ts';
import type { ResultsStrings } from './results-strings.ts';

/** The value of an experiment's key that is not a container. */
export type Setting = string | number | boolean | null;

export interface TextResult {
  readonly name: string;
  readonly sequenceLength: number | null;
  readonly windows: number;
  /** Tokens predicted. */
  readonly tokens: number;
  /** Null where it was not measured, and where it is infinite: then there is a mean loss. */
  readonly fullPrecision: number | null;
  readonly quantized: number | null;
  readonly meanLoss: MeanLoss;
  /** Linear layers of the quantized network whose products were of whole numbers; absent where all were simulated. */
  readonly integer?: readonly string[] | undefined;
}

/** What the numbers of a run are a sample of: runs that agree in all three have measured the same. */
export interface Sample {
  /** Equal where experiments differ in seeds alone, in what they measure, or in what computes. */
  readonly setting: string;
  readonly seeds: string;
  /** The run that learned the rotations; empty where none were learned. */
  readonly rotations: string;
}

export interface ResultRun extends RunName {
  readonly label: string | null;
  readonly starred: boolean;
  readonly status: RunState;
  readonly model: string;
  /** As papers name it: `RTN`, `SpinQuant had + GPTQ`. */
  readonly method: string;
  /** Bits of weights, activations and cache as papers print them: `4-4-4`. */
  readonly paperBits: string;
  /** Nats per token; null where nothing was learned. */
  readonly loss: { readonly first: number | null; readonly last: number | null } | null;
  readonly steps: number;
  readonly texts: readonly TextResult[];
  /** Every key of the experiment by its dotted path. */
  readonly settings: Readonly<Record<string, Setting>>;
  readonly sample: Sample;
  readonly hasActivations: boolean;
}

/** The differences between the experiments of two runs. */
export interface Comparison {
  readonly a: RunName;
  readonly b: RunName;
  readonly differences: readonly { readonly path: string; readonly a: string; readonly b: string }[];
}

export interface ResultsState {
  readonly strings: ResultsStrings;
  /** BCP 47, for ages. */
  readonly locale: string;
  readonly remembered: ResultsMemory;
  /** Runs with results, newest first. */
  readonly runs: readonly ResultRun[];
  /** Runs that have no results (yet). */
  readonly withoutResults: number;
  /** When two are selected. */
  readonly comparison: Comparison | null;
  readonly matrix: MatrixPart;
}

export const resultsMemorySchema = z.strictObject({
  selected: z.array(runDirSchema).max(2),
  /** Experiment file whose table is shown; null for the one last looked at. */
  table: runDirSchema.nullable().default(null),
  /** Setting of bits whose layers are drawn; null for the last of the table. */
  bits: z.string().max(60).nullable().default(null),
});
export type ResultsMemory = z.output<typeof resultsMemorySchema>;

/** Places that a row leads to: its experiment file, the settings that it ran with, or a panel. */
const OPEN_TARGETS = ['experiment', 'settings', ...PANEL_NAMES] as const;
export type OpenTarget = (typeof OPEN_TARGETS)[number];

export const EXPORT_FORMATS = ['markdown', 'latex', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** More than any table of runs, less than what would choke a clipboard. */
const MAX_COPY_LENGTH = 4_000_000;
/** A picture of a thousand rotations is far below. */
const MAX_PICTURE_LENGTH = 20_000_000;

export const resultsIntentSchema = z.discriminatedUnion('type', [
  readySchema,
  beginSchema,
  z.strictObject({ type: z.literal('select'), selected: z.array(runDirSchema).max(2) }),
  z.strictObject({ type: z.literal('star'), run: runDirSchema, starred: z.boolean() }),
  z.strictObject({
    type: z.literal('copy'),
    format: z.enum(EXPORT_FORMATS),
    text: z.string().max(MAX_COPY_LENGTH),
  }),
  z.strictObject({
    type: z.literal('open'),
    run: runDirSchema,
    what: z.enum(OPEN_TARGETS),
  }),
  z.strictObject({ type: z.literal('table'), file: runDirSchema, bits: z.string().max(60).nullable() }),
  z.strictObject({
    type: z.literal('copy-table'),
    format: z.enum(TABLE_FORMATS),
    /** With the published values beside the measured ones. */
    published: z.boolean(),
  }),
  z.strictObject({ type: z.literal('fill-table'), file: runDirSchema }),
  z.strictObject({
    type: z.literal('save-picture'),
    format: z.enum(PICTURE_FORMATS),
    /** Proposed name, without its ending. */
    name: z.string().min(1).max(200),
    /** Text, or the bytes of a PNG in base64. */
    content: z.string().max(MAX_PICTURE_LENGTH),
  }),
]);
export type ResultsIntent = z.output<typeof resultsIntentSchema>;
