import { fill } from '../../src/protocol/panels/fill.ts';
import type { ExportFormat, ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import { Bridge } from '../shared/bridge.ts';
import { emptyState } from '../shared/controls.ts';
import { h, setText } from '../shared/dom.ts';
import { comparisonView } from './comparison-view.ts';
import { exportTables, flatTable, pivotTable } from './export.ts';
import { flatView } from './flat-view.ts';
import { keepingFocus } from './focus.ts';
import { type Pivot, pivots } from './pivot.ts';
import { pivotView } from './pivot-view.ts';
import {
  bestRows,
  type ColumnModel,
  commonFacts,
  filterRows,
  type ResultRow,
  resultColumns,
  resultRows,
  sortRows,
} from './rows.ts';
import { DEFAULT_TOGGLES, type ResultsToggles, Toolbar } from './toolbar.ts';
import './results.css';

/** What the toggles leave of the state. */
interface Shown {
  readonly all: readonly ResultRow[];
  readonly rows: readonly ResultRow[];
  readonly columns: readonly ColumnModel[];
  readonly tables: readonly Pivot[];
}

const bridge = new Bridge<ResultsState, ResultsIntent, ResultsToggles>(DEFAULT_TOGGLES);
const root = document.getElementById('root')!;
const content = h('div', { class: 'content' });
const count = h('p', { class: 'quiet', role: 'status' });
let toolbar: Toolbar | null = null;
let last: ResultsState | null = null;

function show(state: ResultsState): void {
  last = state;
  root.removeAttribute('aria-busy');
  if (state.runs.length === 0) {
    toolbar = null;
    root.replaceChildren(emptyState(state.strings.empty, (what) => bridge.send({ type: 'begin', what })));
    return;
  }
  if (!toolbar) {
    toolbar = new Toolbar(state.strings, bridge.toggles, { change, copy });
    root.replaceChildren(toolbar.element, content, count);
  }
  keepingFocus(content, () => draw(state));
}

function shown(state: ResultsState): Shown {
  const { filter, onlyChanged, sorting } = bridge.toggles;
  const all = resultRows(state);
  const everything = resultColumns(all, state, Date.now(), false);
  const found = filterRows(all, everything, filter);
  const columns = onlyChanged ? resultColumns(found, state, Date.now(), true) : everything;
  const rows = sortRows(found, everything, sorting);
  return { all, rows, columns, tables: pivots(rows, state.strings) };
}

function draw(state: ResultsState): void {
  const { strings, withoutResults } = state;
  const { view, difference, sorting } = bridge.toggles;
  const { all, rows, columns, tables } = shown(state);
  const send = (intent: ResultsIntent) => bridge.send(intent);
  const sort = (next: typeof sorting) => change({ sorting: next });
  const flat = () => flatView({ state, rows, columns, sorting, best: bestRows(all), sort, send });
  const table = view === 'pivot' ? pivotView(tables, strings, difference) : flat();
  const facts = view === 'runs' ? commonFacts(rows, columns, state, Date.now()) : '';
  content.replaceChildren(
    ...(facts === '' ? [] : [h('p', { class: 'quiet facts' }, facts)]),
    rows.length === 0 ? h('p', { class: 'quiet' }, strings.noMatch) : table,
    ...(view === 'runs' || state.comparison ? [comparisonView(state, send)] : []),
  );
  const parts = [fill(strings.shown, rows.length, all.length)];
  if (withoutResults > 0)
    parts.push(
      withoutResults === 1 ? strings.oneWithoutResults : fill(strings.withoutResults, withoutResults),
    );
  setText(count, parts.join(' · '));
}

function change(toggles: Partial<ResultsToggles>): void {
  bridge.keep(toggles);
  toolbar?.show(bridge.toggles);
  if (last) show(last);
}

/** Copies what is seen: the same rows, columns and order. */
function copy(format: ExportFormat): void {
  if (!last) return;
  const { view, difference } = bridge.toggles;
  const { rows, columns, tables } = shown(last);
  const { strings } = last;
  const texts =
    view === 'pivot'
      ? tables.map((table) => pivotTable(table, strings, difference))
      : [flatTable(rows, columns)];
  bridge.send({ type: 'copy', format, text: exportTables(texts, format) });
  const lines = texts.reduce((sum, table) => sum + table.rows.length, 0);
  toolbar?.say(fill(strings.copied, lines, strings.formats[format]));
}

bridge.listen(show, { type: 'ready' });
