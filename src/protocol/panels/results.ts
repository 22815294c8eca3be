/** Contract of the results panel: which setting is best, and why do two runs differ? */
import { z } from 'zod';
import type { MeanLoss } from '../perplexity.ts';
import { TABLE_FORMATS } from '../table-formats.ts';
import { beginSchema, type RunName, type RunState, readySchema, runDirSchema } from './common.ts';
import { type MatrixPart, PICTURE_FORMATS } from './matrix.ts';
import { PANEL_NAMES } from './registry.ts';
import { MOST_COMPARED } from './results-limits.ts';
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
  /** True where the run learned or rounded on this text, too: the perplexity then flatters. */
  readonly seen: boolean;
}

/** What the numbers of a run are a sample of. */
export interface Sample {
  /** Equal where experiments differ in bits, in seeds, in what they measure, in what computes, or in what they do not read. */
  readonly variant: string;
  /** Empty where no seed is read. */
  readonly seeds: string;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
  /** Tells learned rotations from others; empty where none were learned, null where nobody knows whose they are. */
  readonly rotations: string | null;
}

/** Where the rotations of a run were learned, for a run that measured those of another. */
export interface RotationOrigin {
  /** Name of the run's folder; null for a file that is of none. */
  readonly run: string | null;
  /** As the run is called; the name of its folder where it is not there. */
  readonly name: string | null;
  /** `rotation.seed` of their start; null where it is not known. */
  readonly seed: number | null;
}

export interface RunLoss {
  readonly first: number | null;
  readonly last: number | null;
  /** What was learned for: losses of different objectives are not to be compared. */
  readonly objective: string;
  /** True for cross-entropy: nats per token. Other objectives have no unit. */
  readonly inNats: boolean;
}

/** Of what a run computed with. */
export interface RunProvenance {
  readonly productVersion: string;
  readonly ortVersion: string;
  readonly kernels: string;
  /** In words for people. */
  readonly runtime: string;
  readonly threads: number;
  readonly device: string;
  readonly platform: string;
  /** SHA-256 of the model's files, in hexadecimal. */
  readonly modelHash: string;
}

export interface ResultRun extends RunName {
  /** Name of the run folder. */
  readonly id: string;
  readonly label: string | null;
  readonly starred: boolean;
  readonly status: RunState;
  readonly model: string;
  /** The experiment file: its absolute path, and its name without the ending. */
  readonly experiment: { readonly file: string; readonly name: string };
  /** As papers name it: `RTN`, `SpinQuant had + GPTQ`. */
  readonly method: string;
  /** Bits of weights, activations and cache as papers print them: `4-4-4`. */
  readonly paperBits: string;
  /** Null where nothing was learned. */
  readonly loss: RunLoss | null;
  readonly steps: number;
  /** Of all phases together; null where the run does not tell. */
  readonly seconds: number | null;
  /** Largest resident size of the process; null where the run does not tell. */
  readonly peakBytes: number | null;
  /** ISO 8601, UTC; null in runs of earlier versions. */
  readonly measuredAt: string | null;
  readonly texts: readonly TextResult[];
  /** Every key of the experiment by its dotted path. */
  readonly settings: Readonly<Record<string, Setting>>;
  readonly sample: Sample;
  /** Null where a run measured its own rotations, or none. */
  readonly rotationsOf: RotationOrigin | null;
  /** Null until the model and the runtime were loaded. */
  readonly provenance: RunProvenance | null;
  readonly hasActivations: boolean;
}

/** A line of a comparison: the values of all runs, as text. */
export interface ComparedLine {
  readonly title: string;
  /** One for each run; null where a run lacks it. */
  readonly values: readonly (string | null)[];
}

/** In what runs differ. Lines in which all agree are left out, but for the outcome, which is always there. */
export interface Comparison {
  readonly runs: readonly RunName[];
  readonly settings: readonly ComparedLine[];
  readonly provenance: readonly ComparedLine[];
  readonly outcome: readonly ComparedLine[];
  /** Mean SQNR of a layer's sites after rotation, in dB; none where fewer than two runs have statistics. */
  readonly layers: readonly ComparedLine[];
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
  /** Paths of settings that decide numbers and in which runs differ. */
  readonly deciding: readonly string[];
  /** When two or more are selected. */
  readonly comparison: Comparison | null;
  readonly matrix: MatrixPart;
}

export const resultsMemorySchema = z.strictObject({
  selected: z.array(runDirSchema).max(MOST_COMPARED),
  /** Experiment file whose table is shown; null for the one last looked at. */
  table: runDirSchema.nullable().default(null),
  /** Setting of bits whose layers are drawn; null for the last of the table. */
  bits: z.string().max(60).nullable().default(null),
});
export type ResultsMemory = z.output<typeof resultsMemorySchema>;

/** Places that a row leads to: the panel that shows most of the run, its experiment file, its settings, or a panel. */
const OPEN_TARGETS = ['run', 'experiment', 'settings', ...PANEL_NAMES] as const;
export type OpenTarget = (typeof OPEN_TARGETS)[number];

/** What keys do with the run of a row; menus have the same. */
export const RUN_COMMANDS = ['rename', 'delete'] as const;
export type RunCommand = (typeof RUN_COMMANDS)[number];

export const EXPORT_FORMATS = ['markdown', 'latex', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** More than any table of runs, less than what would choke a clipboard. */
const MAX_COPY_LENGTH = 4_000_000;
/** A picture of a thousand rotations is far below. */
const MAX_PICTURE_LENGTH = 20_000_000;

export const resultsIntentSchema = z.discriminatedUnion('type', [
  readySchema,
  beginSchema,
  z.strictObject({ type: z.literal('select'), selected: z.array(runDirSchema).max(MOST_COMPARED) }),
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
  z.strictObject({ type: z.literal('command'), run: runDirSchema, command: z.enum(RUN_COMMANDS) }),
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
