/** Methods × bits, as papers print their tables. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { clearlyBest, type Doubt, type Spread, spreadOf } from '../../src/protocol/spread.ts';
import { formatDelta, formatPerplexity } from '../shared/format.ts';
import { bitsOrder, groundOf, isDeployed, type ResultRow, settingText, textTitle } from './rows.ts';
import { shortPaths } from './short-paths.ts';

export interface PivotCell {
  /** `5.944`, or `5.991 ± 0.031` over seeds. */
  readonly text: string;
  /** `+0.472`; empty where there is nothing to subtract. */
  readonly delta: string;
  /** The way from several runs to one number; empty for one. */
  readonly from: string;
  /** Over samples: rotations that were measured again count once. */
  readonly spread: Spread;
  readonly rows: readonly ResultRow[];
  /** The least of its column by more than the spread. */
  readonly best: boolean;
}

export interface PivotMethod {
  readonly name: string;
  /** What tells its settings from those of another row of this method: `steps 100`; empty where there is no other. */
  readonly detail: string;
  readonly cells: readonly (PivotCell | null)[];
}

export interface Pivot {
  /** Model and text, which all cells share. */
  readonly title: string;
  /** Any of the rows behind it. */
  readonly row: ResultRow;
  /** Bits, many first. */
  readonly bits: readonly string[];
  readonly methods: readonly PivotMethod[];
  readonly fullPrecision: number | null;
  /** Sentences: where no best is marked, and why. */
  readonly notes: readonly string[];
}

/** What names and notes are made of. */
export interface PivotWords {
  readonly strings: ResultsStrings;
  /** Settings that decide numbers and in which runs differ. */
  readonly deciding: readonly string[];
}

/** One table for each model and text. */
export function pivots(rows: readonly ResultRow[], words: PivotWords): Pivot[] {
  const grounds = groupBy(
    rows.filter(({ text }) => text.quantized !== null),
    groundOf,
  );
  return [...grounds.values()].map((group) => pivot(group, words));
}

/** Rows that are one method with one choice of settings, whatever their bits and seeds. */
interface Group {
  readonly method: string;
  readonly rows: readonly ResultRow[];
}

function pivot(rows: readonly ResultRow[], words: PivotWords): Pivot {
  const { strings } = words;
  const bits = [...new Set(rows.map(({ run }) => run.paperBits))].sort((a, b) =>
    bitsOrder(a).localeCompare(bitsOrder(b)),
  );
  const groups = [...groupBy(rows, settingOf).values()].map((ofOne) => {
    const cells = bits.map((column) => measuredCell(ofOne.filter(({ run }) => run.paperBits === column)));
    const values = cells.flatMap((cell) => (cell === null ? [] : [cell.spread.mean]));
    return { method: ofOne[0]!.run.method, rows: ofOne, cells, order: Math.max(...values) };
  });
  // The weakest method first, as papers build up to their own.
  groups.sort((a, b) => (a.order === b.order ? 0 : b.order - a.order));
  const found = bits.map((_, column) =>
    clearlyBest(groups.flatMap(({ cells }) => contender(cells[column] ?? null))),
  );
  const best = new Set(found.flatMap((one) => (one && 'best' in one ? [one.best.cell] : [])));
  const first = rows[0]!;
  return {
    title: `${first.run.model} · ${textTitle(first.text, strings)}`,
    row: first,
    bits,
    fullPrecision: fullPrecisionOf(rows),
    methods: groups.map((group) => ({
      name: group.method,
      detail: detailOf(group, groups, words),
      cells: group.cells.map((cell) => cell && shownCell(cell, best.has(cell), strings)),
    })),
    notes: [
      ...(groups.some(({ cells }) => cells.some((cell) => cell && cell.spread.n > 1))
        ? [strings.meanNote]
        : []),
      ...doubtNotes(
        bits.flatMap((setting, column) => {
          const one = found[column];
          return one && 'doubt' in one ? [{ setting, doubt: one.doubt }] : [];
        }),
        strings,
      ),
    ],
  };
}

const fullPrecisionOf = (rows: readonly ResultRow[]): number | null =>
  rows.find(({ text }) => text.fullPrecision !== null)?.text.fullPrecision ?? null;

/** Numbers of another setting are another row: the best of several never stands beside a mean. */
const settingOf = ({ run, text }: ResultRow): string =>
  JSON.stringify([run.method, run.sample.variant, isDeployed(text)]);

interface MeasuredCell {
  readonly rows: readonly ResultRow[];
  readonly samples: readonly ResultRow[];
  readonly spread: Spread;
}

/** Null where nothing is measured. */
function measuredCell(rows: readonly ResultRow[]): MeasuredCell | null {
  const samples = samplesOf(rows);
  if (samples.length === 0) return null;
  const spread = spreadOf(samples.map(({ text }) => text.quantized!));
  return { rows, samples, spread };
}

/**
 * Of runs that measured the same rotations, the newest stands for all: measuring again makes no other sample. Where
 * nobody knows whose rotations a run measured, it counts only where no other does.
 */
function samplesOf(rows: readonly ResultRow[]): ResultRow[] {
  const known = rows.filter(({ run }) => run.sample.rotations !== null);
  const counted = known.length > 0 ? known : rows;
  const groups = groupBy(counted, ({ run: { sample } }) =>
    // Rotations tell themselves, whatever seeds are written beside them.
    sample.rotations ? sample.rotations : sample.rotations === null ? '' : sample.seeds,
  );
  return [...groups.values()].map((same) =>
    same.reduce((newest, row) => (row.run.startedAt > newest.run.startedAt ? row : newest)),
  );
}

function contender(cell: MeasuredCell | null) {
  if (cell === null) return [];
  const { mean, deviation } = cell.spread;
  // Something infinite is never the best.
  const cost = Number.isFinite(mean) ? mean : Number.POSITIVE_INFINITY;
  const isDraw = deviation === null && cell.rows.some(({ run }) => run.sample.seeded);
  const size = deviation !== null && Number.isFinite(deviation) ? deviation : 0;
  return cost === Number.POSITIVE_INFINITY
    ? []
    : [{ cell, cost, margin: { size, of: 'spread' as const }, isDraw }];
}

function shownCell(cell: MeasuredCell, best: boolean, strings: ResultsStrings): PivotCell {
  const { rows, samples, spread } = cell;
  const { mean, deviation, n } = spread;
  const hasSpread = deviation !== null && Number.isFinite(deviation);
  const ownSeeds = new Set(samples.map(({ run }) => run.sample.seeds)).size === n;
  const base = fullPrecisionOf(rows);
  return {
    text: `${formatPerplexity(mean)}${hasSpread ? ` ± ${deviation.toFixed(mean < 100 ? 3 : 1)}` : ''}`,
    delta: base === null ? '' : formatDelta(mean, base),
    from: n === 1 ? '' : fill(ownSeeds ? strings.meanOf : strings.meanOfRotations, n),
    spread,
    rows,
    best,
  };
}

/** The settings in which a group differs from another of its method. */
function detailOf(group: Group, all: readonly Group[], { deciding, strings }: PivotWords): string {
  const alike = all.filter(({ method }) => method === group.method);
  if (alike.length === 1) return '';
  const settingAt = ({ rows }: Group, path: string) => rows[0]!.run.settings[path];
  const told = deciding.filter(
    (path) => !SAID.test(path) && new Set(alike.map((one) => settingAt(one, path))).size > 1,
  );
  const names = shortPaths(told);
  const products = new Set(alike.map(({ rows }) => isDeployed(rows[0]!.text))).size > 1;
  return [
    ...told.map((path) => `${names.get(path)} ${settingText(settingAt(group, path), strings)}`),
    ...(products ? [isDeployed(group.rows[0]!.text) ? strings.wholeNumbers : strings.simulated] : []),
  ].join(' · ');
}

/** Bits are the columns, and seeds are what is averaged over. */
const SAID = /^quantization\.(weights|activations|keys|values)\.bits$|\.seed$/;

function doubtNotes(
  found: readonly { readonly setting: string; readonly doubt: Doubt }[],
  { noBest, doubts }: ResultsStrings,
): string[] {
  const reasons = groupBy(found, ({ doubt }) => doubt);
  return [...reasons].map(([doubt, ones]) =>
    fill(noBest, ones.map(({ setting }) => setting).join(', '), doubts[doubt]),
  );
}

function groupBy<T, K>(all: readonly T[], key: (one: T) => K): ReadonlyMap<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const group = groups.get(key(one));
    if (group) group.push(one);
    else groups.set(key(one), [one]);
  }
  return groups;
}

/** The rows of the setting that is beyond doubt the best of its text; none where there is doubt. */
export function bestRows(rows: readonly ResultRow[]): ReadonlySet<ResultRow> {
  const measured = rows.filter(({ text }) => text.quantized !== null);
  const best = [...groupBy(measured, groundOf).values()].flatMap((ground) => {
    const groups = groupBy(ground, (row) => JSON.stringify([settingOf(row), row.run.paperBits]));
    const found = clearlyBest([...groups.values()].flatMap((group) => contender(measuredCell(group))));
    return found && 'best' in found ? found.best.cell.rows : [];
  });
  return new Set(best);
}
