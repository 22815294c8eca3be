/** A matrix as a list of cells, each an experiment of its own. */

import { isObject } from '../../protocol/object.ts';
import { isSeeded } from '../derived.ts';
import type { JsonPath } from '../faults.ts';
import { type MethodKind, methodsOf } from '../methods/index.ts';
import { type Experiment, experimentSchema } from '../schema.ts';
import type { Matrix } from '../schema-matrix.ts';
import { type BitSetting, FULL_PRECISION_BITS, parseBits } from './bits.ts';
import { mergeSettings } from './merge.ts';
import { MATRIX_PRESETS, type MatrixShape } from './presets.ts';
import { FULL_PRECISION_ROW, ROWS } from './rows.ts';

/** What names a cell in a table. */
export interface CellName {
  /** `4-4-16`. */
  readonly bits: string;
  /** Name of the row. */
  readonly method: string;
  /** Name of the row in tables. */
  readonly title: string;
  readonly seed: number;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
}

export interface Cell extends CellName {
  readonly experiment: Experiment;
  /** Where the text names its row. */
  readonly path: JsonPath;
  /** Where the text has the settings of its row; null for rows that it does not define. */
  readonly ownSettings: JsonPath | null;
  /** Bits, seed and row put these in the place of the experiment's settings. */
  readonly patch: unknown;
}

/** A row with the settings that it puts in the place of the experiment's. */
interface ExpandedRow {
  readonly name: string;
  readonly title: string;
  readonly patches: readonly unknown[];
  readonly path: JsonPath;
  readonly ownSettings: JsonPath | null;
}

/** The matrix with what its preset fills in. */
export function matrixShape(matrix: Matrix): MatrixShape {
  const preset = matrix.preset && MATRIX_PRESETS[matrix.preset];
  const or = <T>(own: readonly T[], other: readonly T[] | undefined): readonly T[] =>
    own.length > 0 ? own : (other ?? []);
  const seeds = or(matrix.seeds, preset?.seeds);
  return {
    bits: or(matrix.bits, preset?.bits),
    methods: or(matrix.methods, preset?.methods),
    seeds: seeds.length > 0 ? seeds : [0],
    rows: [...matrix.rows, ...(preset?.rows ?? [])],
    statistics: matrix.statistics ?? preset?.statistics ?? false,
  };
}

/** The names that matrix.methods may hold. */
export function rowNames(matrix: Matrix): string[] {
  return [...ROWS, ...matrixShape(matrix).rows].map(({ name }) => name);
}

/**
 * The cells of a sound experiment, full precision first, then column by column. Rows and bits that are not known are
 * left out: {@link matrixFaults} tells of them.
 * @param written the values of the experiment's text: a default that follows another setting is taken anew in each cell.
 */
export function cellsOf(written: unknown, matrix: Matrix): Cell[] {
  const { bits, methods, seeds } = matrixShape(matrix);
  const isListed = matrix.methods.length > 0;
  const rows = methods.flatMap((name, index) => {
    const path: JsonPath = isListed ? ['matrix', 'methods', index] : ['matrix', 'preset'];
    const found = expandedRow(name, written, matrix, path);
    return found ? [found] : [];
  });
  const full = {
    ...FULL_PRECISION_ROW,
    ...{ patches: [FULL_PRECISION_ROW.settings], path: ['matrix'], ownSettings: null },
  };
  return [
    ...cellsOfRow(full, FULL_PRECISION_BITS, seeds, written),
    ...bits.flatMap((setting) => rows.flatMap((row) => cellsOfRow(row, setting, seeds, written))),
  ];
}

function expandedRow(name: string, written: unknown, matrix: Matrix, path: JsonPath): ExpandedRow | null {
  const known = ROWS.find((row) => row.name === name);
  if (known) return { name, title: known.title, patches: [known.settings], path, ownSettings: null };
  const own = matrixShape(matrix).rows.find((row) => row.name === name);
  if (!own) return null;
  const like = ROWS.find((row) => row.name === (own.like ?? 'rtn'));
  const index = matrix.rows.findIndex((row) => row.name === name);
  // As written: what the schema filled in would hide the settings of the row that it is like.
  const settings = index < 0 ? own.settings : writtenSettings(written, index);
  const ownSettings = index < 0 ? null : ['matrix', 'rows', index, 'settings'];
  return like
    ? { name, title: own.title ?? name, patches: [like.settings, settings], path, ownSettings }
    : null;
}

function writtenSettings(written: unknown, index: number): unknown {
  const matrix = isObject(written) ? written.matrix : undefined;
  const rows = isObject(matrix) ? matrix.rows : undefined;
  const row: unknown = Array.isArray(rows) ? rows[index] : undefined;
  return isObject(row) ? row.settings : undefined;
}

function cellsOfRow(row: ExpandedRow, bits: string, seeds: readonly number[], written: unknown): Cell[] {
  const setting = parseBits(bits);
  if (!setting) return [];
  const cells: Cell[] = [];
  for (const seed of seeds) {
    const patch = mergeSettings(patchOf(setting, seed), ...row.patches);
    const experiment = cellExperiment(written, patch);
    if (!experiment) continue;
    const { name: method, title, path, ownSettings } = row;
    const seeded = isSeeded(experiment);
    cells.push({ bits, method, title, seed, seeded, experiment, path, ownSettings, patch });
    if (!seeded) break;
  }
  return cells;
}

/** The options of methods that draw by a seed of their own. */
function seedsOfMethods(seed: number): unknown {
  const options = (kind: MethodKind) =>
    Object.fromEntries(
      methodsOf(kind)
        .filter((method) => hasSeed(method.options?.parse(undefined)))
        .map(({ name }) => [name, { seed }]),
    );
  return {
    training: options('training'),
    scaling: options('scaling'),
    quantization: { weights: options('rounding') },
  };
}

const hasSeed = (options: unknown): boolean => isObject(options) && 'seed' in options;

function patchOf({ weights, activations, cache }: BitSetting, seed: number): unknown {
  const bits = {
    quantization: {
      weights: { bits: weights },
      activations: { bits: activations },
      keys: { bits: cache },
      values: { bits: cache },
    },
  };
  const seeded = { rotation: { seed }, calibration: { seed } };
  return mergeSettings(bits, seeded, seedsOfMethods(seed));
}

/** Rows are methods as they were published, unless they or the experiment say otherwise. */
const DEFAULTS_OF_CELLS = { quantization: { keys: { offset: 'bias' } } };

/** @returns null where the experiment itself is at fault. */
function cellExperiment(written: unknown, patch: unknown): Experiment | null {
  const { matrix: _, cluster: __, ...input } = isObject(written) ? written : {};
  const result = experimentSchema.safeParse(mergeSettings(DEFAULTS_OF_CELLS, input, patch));
  return result.success ? result.data : null;
}
