import { fill } from '../../src/protocol/panels/fill.ts';
import type { ExportFormat, ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import type { TableFormat } from '../../src/protocol/table-formats.ts';
import { Bridge } from '../shared/bridge.ts';
import { h, setHidden } from '../shared/dom.ts';
import { startPage } from '../shared/page.ts';
import { pivotsCsv, runsCsv } from './csv.ts';
import { exportTables, flatTable, pivotTable } from './export.ts';
import { MatrixPage, type MatrixToggles } from './matrix/page.ts';
import { RunsPage } from './runs-page.ts';
import { AGE_INTERVAL_MS, type Shown, TableModel } from './table-model.ts';
import { DEFAULT_TOGGLES, type ResultsToggles, type ResultsView, Toolbar } from './toolbar.ts';
import './results.css';
import './runs-table.css';
import './matrix/matrix.css';

interface Parts {
  readonly toolbar: Toolbar;
  readonly runs: RunsPage;
  readonly matrix: HTMLElement;
  /** Made when it is first looked at. */
  matrixPage(): MatrixPage;
}

const bridge = new Bridge<ResultsState, ResultsIntent, ResultsToggles>(DEFAULT_TOGGLES);
const model = new TableModel();

const page = startPage(bridge, {
  hasContent: ({ runs, matrix }: ResultsState) => runs.length > 0 || matrix.all.length > 0,
  build(state) {
    const { strings } = state;
    const say = (text: string) => toolbar.say(text);
    const toolbar: Toolbar = new Toolbar(strings, bridge.toggles, {
      change,
      copy: (format) => copy(format, say),
    });
    const runs = new RunsPage(state, {
      get toggles() {
        return bridge.toggles;
      },
      change,
      send: (intent) => bridge.send(intent),
    });
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
    return { toolbar, runs, matrix, matrixPage, elements: [toolbar.element, matrix, runs.element] };
  },
  show({ toolbar, runs, matrix, matrixPage }: Parts, state, theme) {
    answer(state);
    const view = viewOf(state);
    toolbar.show(view, state.matrix.all.length > 0);
    setHidden(runs.element, view === 'matrix');
    setHidden(matrix, view !== 'matrix');
    toolbar.element.parentElement?.classList.toggle('fills', view === 'runs');
    if (view === 'matrix') {
      matrixPage().show(state, theme);
      return;
    }
    const shown = model.shown(state, bridge.toggles);
    toolbar.showColumns(shown.allColumns, shown.columns);
    runs.show(state, shown, view);
  },
});

setInterval(() => {
  const { state } = page;
  if (state && viewOf(state) === 'runs') page.redraw();
}, AGE_INTERVAL_MS);

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
  const shown = model.shown(state, bridge.toggles);
  const { text, lines } = format === 'csv' ? data(shown, view) : texts(state, shown, view, format);
  bridge.send({ type: 'copy', format, text });
  say(fill(strings.copied, lines, strings.formats[format]));
}

/** The data behind what is seen, with all digits. */
function data(shown: Shown, view: ResultsView): { readonly text: string; readonly lines: number } {
  const text = view === 'pivot' ? pivotsCsv(shown.pivots()) : runsCsv(shown.rows);
  return { text, lines: text.split('\r\n').length - 2 };
}

function texts(
  { strings }: ResultsState,
  shown: Shown,
  view: ResultsView,
  format: Exclude<ExportFormat, 'csv'>,
): { readonly text: string; readonly lines: number } {
  const { difference } = bridge.toggles;
  const tables =
    view === 'pivot'
      ? shown.pivots().map((table) => pivotTable(table, strings, difference))
      : [flatTable(shown.rows, shown.columns)];
  return {
    text: exportTables(tables, format),
    lines: tables.reduce((sum, table) => sum + table.rows.length, 0),
  };
}
