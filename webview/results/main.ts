import { fill } from '../../src/protocol/panels/fill.ts';
import type { ExportFormat, ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import { Bridge } from '../shared/bridge.ts';
import { h, setText } from '../shared/dom.ts';
import { startPage } from '../shared/page.ts';
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

/** The part of the state that the toggles leave. */
interface Shown {
  readonly all: readonly ResultRow[];
  readonly rows: readonly ResultRow[];
  readonly columns: readonly ColumnModel[];
  readonly tables: readonly Pivot[];
}

interface Parts {
  readonly toolbar: Toolbar;
  readonly content: HTMLElement;
  readonly count: HTMLElement;
}

const bridge = new Bridge<ResultsState, ResultsIntent, ResultsToggles>(DEFAULT_TOGGLES);

const page = startPage(bridge, {
  hasContent: ({ runs }: ResultsState) => runs.length > 0,
  build({ strings }) {
    const say = (text: string) => toolbar.say(text);
    const toolbar: Toolbar = new Toolbar(strings, bridge.toggles, {
      change,
      copy: (format) => copy(format, say),
    });
    const content = h('div', { class: 'content' });
    const count = h('p', { class: 'quiet', role: 'status' });
    return { toolbar, content, count, elements: [toolbar.element, content, count] };
  },
  show(parts: Parts, state) {
    parts.toolbar.show(bridge.toggles);
    keepingFocus(parts.content, () => draw(parts, state));
  },
});

function shown(state: ResultsState): Shown {
  const { filter, onlyChanged, sorting } = bridge.toggles;
  const all = resultRows(state);
  const everything = resultColumns(all, state, Date.now(), false);
  const found = filterRows(all, everything, filter);
  const columns = onlyChanged ? resultColumns(found, state, Date.now(), true) : everything;
  const rows = sortRows(found, everything, sorting);
  return { all, rows, columns, tables: pivots(rows, state.strings) };
}

function draw({ content, count }: Parts, state: ResultsState): void {
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
  page.redraw();
}

/** Copies what is seen: the same rows, columns and order. */
function copy(format: ExportFormat, say: (text: string) => void): void {
  const { state } = page;
  if (!state) return;
  const { view, difference } = bridge.toggles;
  const { rows, columns, tables } = shown(state);
  const { strings } = state;
  const texts =
    view === 'pivot'
      ? tables.map((table) => pivotTable(table, strings, difference))
      : [flatTable(rows, columns)];
  bridge.send({ type: 'copy', format, text: exportTables(texts, format) });
  const lines = texts.reduce((sum, table) => sum + table.rows.length, 0);
  say(fill(strings.copied, lines, strings.formats[format]));
}
