/** The table of the recorded runs, for tests of what is made of it. */
import type { TestContext } from 'node:test';
import { makeResultRuns } from '../../scripts/fixtures/make-runs.mts';
import { resultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { allColumns, shownColumns } from '../../webview/results/columns.ts';
import { type ResultRow, resultRows } from '../../webview/results/rows.ts';
import { resultsOf, runsFolder } from './states.ts';

export const strings = resultsStrings((text) => text);
export const NOW = Date.UTC(2026, 10, 22);

export async function table(t: TestContext) {
  const dirs = makeResultRuns(await runsFolder(t));
  const state = await resultsOf(dirs.toReversed(), [], [dirs[15]!]);
  const rows = resultRows(state);
  return { dirs, state, rows, columns: columnsOf(rows), words: { strings, deciding: state.deciding } };
}

export const columnsOf = (rows: readonly ResultRow[]) =>
  allColumns(rows, { strings, locale: 'en', now: NOW });

/** Columns in which rows differ. */
export const changedColumns = (rows: readonly ResultRow[]) => shownColumns(columnsOf(rows), rows, true);
