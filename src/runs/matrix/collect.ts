/** What the runs of a matrix have found, cell by cell. Reads run folders alone, never a model: who knows one tells what it rules out. */
import {
  type Cell,
  FULL_PRECISION_ROW,
  faultsOfCell,
  type ResolvedCell,
  type ResolvedExperiment,
  resolvedCells,
} from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { Variant } from '../../protocol/events.ts';
import type { CellReasons } from '../../protocol/worker.ts';
import { exceptionLine } from '../exception-words.ts';
import { RunHistory } from '../history.ts';
import { listRuns } from '../list.ts';
import type { RunStatus } from '../record.ts';
import type { AverageBits, ResultsFile } from '../results.ts';
import type { Run } from '../run.ts';

/** That of its run; `empty` cannot be computed, `missing` has not been yet. */
export type CellStatus = RunStatus | 'missing' | 'empty';

/** Some places have other bits than the rest. */
export interface MixedBits extends AverageBits {
  /** A line for each exception. */
  readonly exceptions: readonly string[];
}

export interface TableCell {
  /** `4-4-16`. */
  readonly bits: string;
  /** Name of the row. */
  readonly method: string;
  /** Name of the row in tables. */
  readonly title: string;
  readonly seed: number;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
  readonly status: CellStatus;
  /** Absolute path of its newest run; null where there is none. */
  readonly run: string | null;
  /** Null unless finished. */
  readonly results: ResultsFile | null;
  /** Of learning, rounding and evaluation together; null where the run does not tell. */
  readonly seconds: number | null;
  /** Null where all places have the bits of the cell, and where its run does not tell. */
  readonly mixed: MixedBits | null;
  /** SHA-256 of the model's files; null where unknown. */
  readonly model: string | null;
  /** Why it has no numbers; null where it has. */
  readonly message: string | null;
}

/**
 * The cells of an experiment's matrix with what its runs folder holds of them.
 * @param reasons why cells stay empty, by their keys, as far as the model shows it.
 */
export async function collectCells(
  experiment: ResolvedExperiment,
  reasons: CellReasons = {},
): Promise<TableCell[]> {
  const { runs } = await listRuns(experiment.runs);
  return cellsOfRuns(resolvedCells(experiment), runs, { reasons });
}

interface CellFacts {
  readonly reasons?: CellReasons;
  readonly secondsOf?: SecondsOf;
}

/** @param runs newest first. */
export function cellsOfRuns(
  cells: readonly ResolvedCell[],
  runs: readonly Run[],
  { reasons = {}, secondsOf = readSeconds }: CellFacts = {},
): Promise<TableCell[]> {
  return Promise.all(cells.map((cell) => tableCell(cell, runs, { reasons, secondsOf })));
}

/** How long the cell of a finished run took. */
type SecondsOf = (run: Run, method: string) => Promise<number | null>;

async function readSeconds(run: Run, method: string): Promise<number | null> {
  return new RunHistory(await run.readEvents()).secondsOf(variantOfRow(method));
}

/** The network that a row is about. */
export function variantOfRow(method: string): Variant {
  return method === FULL_PRECISION_ROW.name ? 'full-precision' : 'quantized';
}

async function tableCell(
  cell: ResolvedCell,
  runs: readonly Run[],
  { reasons, secondsOf }: Required<CellFacts>,
): Promise<TableCell> {
  const { bits, method, title, seed, seeded } = cell;
  const { run, status, message } = standOf(cell, runs, reasons);
  const about = { bits, method, title, seed, seeded, run: run?.dir ?? null };
  const none = {
    results: null,
    seconds: null,
    mixed: null,
    model: run?.record.provenance?.model.sha256 ?? null,
  };
  if (!run || status !== 'finished') return { ...about, ...none, status, message };
  try {
    const results = await run.readResults();
    const [seconds, mixed] = [await secondsOf(run, method), await mixedOf(run, results)];
    return { ...about, ...none, status, results, seconds, mixed, message };
  } catch (fault) {
    if (!(fault instanceof UserError)) throw fault;
    return { ...about, ...none, status: 'failed', message: fault.message };
  }
}

async function mixedOf(run: Run, { averageBits }: ResultsFile): Promise<MixedBits | null> {
  if (!averageBits) return null;
  const { exceptions = [] } = (await run.readExperiment()).quantization;
  return { ...averageBits, exceptions: exceptions.map(exceptionLine) };
}

interface CellStand extends Pick<TableCell, 'status' | 'message'> {
  /** Its newest run. */
  readonly run: Run | null;
}

/** How a cell stands by the records of its runs alone. @param runs newest first. */
function standOf(cell: ResolvedCell, runs: readonly Run[], reasons: CellReasons): CellStand {
  const own = runs.filter(({ record }) => record.cell?.key === cell.key);
  const run = own.find(({ record }) => record.status === 'finished') ?? own[0] ?? null;
  if (!run) {
    const message = settingsFault(cell) ?? reasons[cell.key] ?? null;
    return { run, status: message === null ? 'missing' : 'empty', message };
  }
  const { status, error } = run.record;
  if (status === 'running' || status === 'finished') return { run, status, message: null };
  return { run, status, message: error?.message ?? null };
}

const settingsFaults = new WeakMap<Cell, string | null>();

/** Why the settings alone rule a cell out; kept, since a progress asks for all cells again and again. */
function settingsFault({ cell }: ResolvedCell): string | null {
  const known = settingsFaults.get(cell);
  if (known !== undefined) return known;
  const fault = faultsOfCell(cell)[0]?.message ?? null;
  settingsFaults.set(cell, fault);
  return fault;
}

/** How far a table is. */
export interface CellCount {
  /** Cells with numbers. */
  readonly done: number;
  /** Cells that can be measured: those that stay empty are not counted. */
  readonly total: number;
}

/** How far a table is, by the records of its runs alone. @param runs newest first. */
export function countCells(
  cells: readonly ResolvedCell[],
  runs: readonly Run[],
  reasons: CellReasons,
): CellCount {
  return countOf(cells.map((cell) => standOf(cell, runs, reasons)));
}

export function countOf(cells: readonly Pick<TableCell, 'status'>[]): CellCount {
  return {
    done: cells.filter(({ status }) => status === 'finished').length,
    total: cells.filter(({ status }) => status !== 'empty').length,
  };
}
