import { fill } from '../../src/protocol/panels/fill.ts';
import type { ExportFormat, ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import type { TableFormat } from '../../src/protocol/table-formats.ts';
import { Bridge } from '../shared/bridge.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import { startPage } from '../shared/page.ts';
import { comparisonView } from './comparison-view.ts';
import { exportTables, flatTable, pivotTable } from './export.ts';
import { flatView } from './flat-view.ts';
import { keepingFocus } from './focus.ts';
import { MatrixPage, type MatrixToggles } from './matrix/page.ts';
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
import { DEFAULT_TOGGLES, type ResultsToggles, type ResultsView, Toolbar } from './toolbar.ts';
import './results.css';
import './matrix/matrix.css';

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
  readonly matrix: HTMLElement;
  /** Made when it is first looked at. */
  matrixPage(): MatrixPage;
}

const bridge = new Bridge<ResultsState, ResultsIntent, ResultsToggles>(DEFAULT_TOGGLES);

const page = startPage(bridge, {
  hasContent: ({ runs, matrix }: ResultsState) => runs.length > 0 || matrix.all.length > 0,
  build({ strings }) {
    const say = (text: string) => toolbar.say(text);
    const toolbar: Toolbar = new Toolbar(strings, bridge.toggles, {
      change,
      copy: (format) => copy(format, say),
    });
    const content = h('div', { class: 'content' });
    const count = h('p', { class: 'quiet', role: 'status' });
    let made: MatrixPage | null = null;
    const matrix = h('div');
    const wishes = {
      get toggles() {
        return bridge.toggles.matrix;
      },
      change: (toggles: Partial<MatrixToggles>) =>
        change({ matrix: { ...bridge.toggles.matrix, ...toggles } }),
      send: (intent: ResultsIntent) => bridge.send(intent),
    };
    const matrixPage = () => {
      if (made) return made;
      made = new MatrixPage(strings.matrix, wishes);
      matrix.append(made.element);
      return made;
    };
    const elements = [toolbar.element, matrix, content, count];
    return { toolbar, matrix, matrixPage, content, count, elements };
  },
  show(parts: Parts, state, theme) {
    answer(state);
    const view = viewOf(state);
    parts.toolbar.show(view, state.matrix.all.length > 0);
    for (const part of [parts.content, parts.count]) setHidden(part, view === 'matrix');
    setHidden(parts.matrix, view !== 'matrix');
    if (view === 'matrix') parts.matrixPage().show(state, theme);
    else keepingFocus(parts.content, () => draw(parts, state, view));
  },
});

/** A command, or a lens, asked for a table: the page turns to it once. */
function answer({ matrix, remembered }: ResultsState): void {
  if (matrix.askedAt <= bridge.toggles.answeredAt || matrix.file !== remembered.table) return;
  bridge.keep({ view: 'matrix', answeredAt: matrix.askedAt });
}

/** What can be shown of what was chosen. */
function viewOf({ runs, matrix }: ResultsState): ResultsView {
  if (matrix.all.length === 0) return bridge.toggles.view === 'pivot' ? 'pivot' : 'runs';
  return runs.length === 0 ? 'matrix' : bridge.toggles.view;
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

function draw({ content, count }: Parts, state: ResultsState, view: ResultsView): void {
  const { strings, withoutResults } = state;
  const { difference, sorting } = bridge.toggles;
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
function copy(format: TableFormat, say: (text: string) => void): void {
  const { state } = page;
  if (!state) return;
  const view = viewOf(state);
  const { strings } = state;
  if (view === 'matrix' || format === 'json') {
    bridge.send({ type: 'copy-table', format, published: bridge.toggles.matrix.published });
    say(fill(strings.matrix.copied, { ...strings.formats, json: strings.matrix.json }[format]));
    return;
  }
  copyShown(state, view, format, say);
}

function copyShown(
  state: ResultsState,
  view: ResultsView,
  format: ExportFormat,
  say: (text: string) => void,
): void {
  const { strings } = state;
  const { difference } = bridge.toggles;
  const { rows, columns, tables } = shown(state);
  const texts =
    view === 'pivot'
      ? tables.map((table) => pivotTable(table, strings, difference))
      : [flatTable(rows, columns)];
  bridge.send({ type: 'copy', format, text: exportTables(texts, format) });
  const lines = texts.reduce((sum, table) => sum + table.rows.length, 0);
  say(fill(strings.copied, lines, strings.formats[format]));
}
