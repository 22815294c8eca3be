/** What all pictures of a table share: which numbers they show, and how its rows look. */
import type { Site } from '../../../src/protocol/block.ts';
import { fill } from '../../../src/protocol/panels/fill.ts';
import type {
  LinearChoice,
  MatrixColumn,
  MatrixRow,
  MatrixTable,
} from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import type { ChartModel, TableModel } from '../../shared/chart-model.ts';
import { formatPerplexity } from '../../shared/format.ts';
import type { Theme } from '../../shared/theme.ts';

export interface PictureView {
  readonly table: MatrixTable;
  readonly strings: MatrixStrings;
  /** Index of the column that is drawn. */
  readonly column: number;
  readonly site: Site;
  readonly linear: LinearChoice;
}

/** A row's sign in a chart. */
export interface Series {
  readonly name: string;
  readonly color: string;
  readonly shape: string;
  readonly dash: readonly number[];
  readonly filled: boolean;
}

export interface Picture {
  readonly model: ChartModel;
  /** Empty where the chart names its rows itself. */
  readonly legend: readonly Series[];
  /** The quantity drawn, with what it belongs to. */
  readonly about: string;
  /** Why there is nothing to draw; empty where there is. */
  readonly empty: string;
}

/** A kind of picture: a pure function of the panel's state. */
export interface PictureKind {
  /** @param standalone with the legend inside, for a file. */
  draw(view: PictureView, theme: Theme, standalone: boolean): Picture;
  table(view: PictureView): TableModel;
}

/** Shapes of rows; each is told apart by its colour and by its shape. */
const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'] as const;
const SOLID = [1, 0] as const;

/** The rows besides full precision by their names in charts, in the order of the table; each once. */
export function methodsOf({ rows }: MatrixTable): ReadonlyMap<string, string> {
  const quantized = rows.filter(({ isFull }) => !isFull);
  const titles = new Map(quantized.map(({ method, title }) => [method, title]));
  const isTaken = (title: string, method: string) =>
    [...titles].some(([other, name]) => other !== method && name === title);
  return new Map(
    [...titles].map(([method, title]) => [method, isTaken(title, method) ? `${title} (${method})` : title]),
  );
}

/**
 * The signs of the rows named, in the order of the table: a row has the same sign in all pictures. Beyond six, colours
 * come again with other shapes.
 */
export function seriesOf(names: readonly string[], table: MatrixTable, { runs }: Theme): Series[] {
  return [...methodsOf(table).values()].flatMap((name, index) => {
    if (!names.includes(name)) return [];
    const color = runs[index % runs.length] ?? '#000000';
    const shape = SHAPES[(index + Math.floor(index / runs.length)) % SHAPES.length] ?? 'circle';
    return [{ name, color, shape, dash: SOLID, filled: true }];
  });
}

export function columnOf({ table, column }: PictureView): MatrixColumn | undefined {
  return table.columns[column] ?? table.columns[0];
}

/** Index of the column that is drawn, in the values of a row. */
export function columnIndex({ table, column }: PictureView): number {
  return table.columns[column] ? column : 0;
}

/** `perplexity`, `wikitext2`. */
export function measuredWords(view: PictureView): readonly [kind: string, name: string] {
  const column = columnOf(view);
  return column ? [view.strings.kinds[column.metric], column.name] : ['', ''];
}

/** A value as tables show it: accuracies are in percent. */
export function formatValue(value: number | null, metric: MatrixColumn['metric'] | undefined): string {
  if (metric !== 'accuracy') return formatPerplexity(value);
  return value === null ? '–' : `${value.toFixed(1)} %`;
}

/** The mean over seeds of a row, infinite where it is too large for a number; null where nothing was measured. */
export function meanOf(row: MatrixRow, column: number): number | null {
  const value = row.values[column];
  return value ? (value.mean ?? Number.POSITIVE_INFINITY) : null;
}

/** What fills a picture in that waits for runs of some rows; empty where all of them are done. */
export function fillingOf(rows: readonly MatrixRow[], { strings }: PictureView): string {
  const cells = rows.flatMap((row) => row.cells);
  const done = cells.filter(({ status }) => status === 'finished').length;
  return done === cells.length ? '' : fill(strings.filled, done, cells.length);
}

/** Sentences as one text; empty ones are left out. */
export function sentences(...all: readonly string[]): string {
  return all.filter((one) => one !== '').join(' ');
}

/** A picture in words: a title, then its parts. */
export function summaryOf({ strings }: PictureView, title: string, parts: readonly string[]): string {
  return fill(strings.summary, title, parts.join('; '));
}
