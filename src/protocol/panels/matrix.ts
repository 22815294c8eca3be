/** The part of the results panel's contract that shows the table of an experiment's matrix. */
import { LINEARS, type Site } from '../block.ts';
import type { Problem, RunState } from './common.ts';

/** A column. Lower is better for perplexity, higher for accuracy. */
export interface MatrixColumn {
  readonly metric: 'perplexity' | 'accuracy';
  /** Name of the text or task. */
  readonly name: string;
}

/** Values over seeds. */
export interface MatrixValue {
  /** Null where it is too large for a number. */
  readonly mean: number | null;
  /** Sample standard deviation; null for one value. */
  readonly deviation: number | null;
  readonly n: number;
  /** The best of its bits by more than the spread. */
  readonly best: boolean;
}

/** That of its run; `empty` cannot be computed, `missing` has not been yet. */
export type MatrixStatus = RunState | 'missing' | 'empty';

/** A row with one seed, which is a run once it was begun. */
export interface MatrixCell {
  readonly seed: number;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
  readonly status: MatrixStatus;
  /** Absolute path of its run folder. */
  readonly run: string | null;
  /** Why it has no numbers. */
  readonly message: string | null;
  /** For each column; null where nothing is measured, or it is too large for a number. */
  readonly values: readonly (number | null)[];
  /** Of learning, rounding and evaluation together; null where the run does not tell. */
  readonly seconds: number | null;
  /** Largest resident size of the process in any of its steps; null where the run does not tell. */
  readonly peakBytes: number | null;
  /** Null where all places have the bits of its row, and where the run does not tell. */
  readonly averageBits: { readonly mixed: number; readonly uniform: number } | null;
  readonly hasActivations: boolean;
}

export interface MatrixRow {
  /** `4-4-16`. */
  readonly bits: string;
  /** Name of the row in the experiment. */
  readonly method: string;
  readonly title: string;
  /** The network as it is. */
  readonly isFull: boolean;
  /** For each column; null where nothing is measured yet. */
  readonly values: readonly (MatrixValue | null)[];
  readonly cells: readonly MatrixCell[];
  /** What the paper prints at these bits for a model of these sizes, for each of the table's published metrics. */
  readonly published: readonly (PublishedNumber | null)[];
}

/** A number of a paper, not of this table's runs. */
export interface PublishedNumber {
  /** As it was printed: `15.9`, `2e3`, `64.1` percent. */
  readonly text: string;
  /** Why it is not to be relied on; null where nothing is known against it. */
  readonly doubt: string | null;
}

/** Where published values are from. */
export interface PublishedPart {
  readonly metrics: readonly ('perplexity' | 'accuracy')[];
  /** Sentences: the source, what its metrics are, and every doubt. */
  readonly notes: readonly string[];
}

/** Quantities of the layers that were measured, as columns of equal length. */
export interface DepthColumns {
  readonly layer: readonly number[];
  readonly before: readonly (number | null)[];
  readonly after: readonly (number | null)[];
}

/** The layers of one row of a table, by its first finished seed that has them. */
export interface DepthRow {
  readonly method: string;
  readonly title: string;
  readonly seed: number;
  /** E[(x−µ)⁴] / σ⁴ of the activations before and after rotation. */
  readonly kurtosis: Readonly<Partial<Record<Site, DepthColumns>>>;
  /** Σ(Q(x)−x)² / Σx² of the same. */
  readonly error: Readonly<Partial<Record<Site, DepthColumns>>>;
  /** E[(w−µ)⁴] / σ⁴ of the weights without maps, and with those merged into them. */
  readonly weightKurtosis: WeightDepth;
  /** Σ(Q(w)−w)² / Σw² of the same, rounded to nearest. */
  readonly weightError: WeightDepth;
  /** Σ‖x (Q(W) − W)ᵀ‖² / Σ‖x Wᵀ‖²: before, rounded to nearest; after, by the method. */
  readonly outputError: WeightDepth;
  /** True where its statistics are of a version that looked at activations only. */
  readonly lacksWeights: boolean;
}

/** A linear layer of each block, or the mean of its seven. */
export const LINEAR_CHOICES = ['mean', ...LINEARS] as const;
export type LinearChoice = (typeof LINEAR_CHOICES)[number];

export type WeightDepth = Readonly<Partial<Record<LinearChoice, DepthColumns>>>;

export interface MatrixTable {
  /** Absolute path of the experiment file. */
  readonly file: string;
  readonly columns: readonly MatrixColumn[];
  /** Full precision first, then bits by bits in the order of the experiment. */
  readonly rows: readonly MatrixRow[];
  readonly done: number;
  /** Cells that can be measured: those that stay empty are not counted. */
  readonly total: number;
  /** Null where no row has published values. */
  readonly published: PublishedPart | null;
  /** Sentences below the table: where no best is marked and why, and limits of what was measured. */
  readonly remarks: readonly string[];
  /** Sentences: which places of which rows have other bits than the rest. */
  readonly exceptions: readonly string[];
  /** Whether filling the table measures activations and weights. */
  readonly statistics: boolean;
  /** Setting of bits of {@link depth}. */
  readonly bits: string;
  readonly depth: readonly DepthRow[];
}

export interface MatrixName {
  readonly file: string;
  readonly name: string;
}

export interface MatrixPart {
  /** Experiments of the workspace that have a matrix. */
  readonly all: readonly MatrixName[];
  /** The one shown; null where there is none. */
  readonly file: string | null;
  /** Null where its file has faults, too. */
  readonly table: MatrixTable | null;
  readonly problem: Problem | null;
  /** The job that fills it, in words: `cell 12 of 60: 4-4-4 GPTQ`; null while none does. */
  readonly progress: string | null;
  /** Somebody asked for this table at this time, in milliseconds: the page turns to it once. */
  readonly askedAt: number;
}

export const PICTURE_FORMATS = ['svg', 'png', 'vega-lite'] as const;
export type PictureFormat = (typeof PICTURE_FORMATS)[number];
