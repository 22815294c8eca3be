/** What the toggles leave of the state. What does not change between two of them is computed once. */
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { allColumns, type ColumnModel, commonFacts, shownColumns, sortRows } from './columns.ts';
import { parseFilter } from './filter.ts';
import { type RowGroup, rowGroups } from './groups.ts';
import { bestRows, type Pivot, pivots } from './pivot.ts';
import { type ResultRow, resultRows } from './rows.ts';
import type { ResultsToggles } from './toolbar.ts';

/** Ages are told in minutes: they are renewed as often. */
export const AGE_INTERVAL_MS = 60_000;

/** Of one state, whatever the toggles are. */
interface Whole {
  readonly state: ResultsState;
  /** Milliseconds; what ages are counted to. */
  readonly now: number;
  readonly rows: readonly ResultRow[];
  readonly columns: readonly ColumnModel[];
  readonly best: ReadonlySet<ResultRow>;
  words(row: ResultRow): string;
}

export interface Shown {
  readonly all: readonly ResultRow[];
  readonly best: ReadonlySet<ResultRow>;
  readonly rows: readonly ResultRow[];
  readonly allColumns: readonly ColumnModel[];
  readonly columns: readonly ColumnModel[];
  readonly groups: readonly RowGroup[];
  /** What the rows agree in and columns leave out. */
  readonly facts: string;
  /** Terms of the filter that no row can fulfil. */
  readonly unclear: readonly string[];
  pivots(): readonly Pivot[];
}

export class TableModel {
  #whole: Whole | null = null;

  shown(state: ResultsState, toggles: ResultsToggles): Shown {
    const whole = this.#of(state);
    const filter = parseFilter(toggles.filter, whole.columns, whole.words);
    const found = whole.rows.filter(filter.keep);
    const columns = shownColumns(whole.columns, found, toggles.onlyChanged, toggles.columns);
    const rows = sortRows(found, whole.columns, toggles.sorting);
    return {
      all: whole.rows,
      best: whole.best,
      rows,
      allColumns: whole.columns,
      columns,
      groups: rowGroups(rows, toggles.grouped, toggles.folded, state.strings),
      facts: commonFacts(rows, whole.columns, columns),
      unclear: filter.unclear,
      pivots: () => pivots(rows, state),
    };
  }

  #of(state: ResultsState): Whole {
    const now = Date.now();
    if (this.#whole?.state === state && now - this.#whole.now < AGE_INTERVAL_MS) return this.#whole;
    const rows = resultRows(state);
    const { strings, locale } = state;
    const columns = allColumns(rows, { strings, locale, now });
    const texts = new Map<ResultRow, string>();
    const words = (row: ResultRow): string => {
      const known = texts.get(row);
      if (known !== undefined) return known;
      const text = [...columns.map(({ show }) => show(row)), row.run.bits, row.run.id]
        .join('\n')
        .toLowerCase();
      texts.set(row, text);
      return text;
    };
    this.#whole = { state, now, rows, columns, best: bestRows(rows), words };
    return this.#whole;
  }
}
