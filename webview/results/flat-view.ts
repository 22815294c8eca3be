import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsIntent, ResultsState, RunCommand } from '../../src/protocol/panels/results.ts';
import { MOST_COMPARED } from '../../src/protocol/panels/results-limits.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { h, setAttribute } from '../shared/dom.ts';
import type { ColumnModel } from './columns.ts';
import { GridFocus } from './grid-focus.ts';
import { type RowGroup, UNGROUPED } from './groups.ts';
import { RowChunks } from './row-chunks.ts';
import { ROW_ACTS, type RowAct, rowElement, rowSignature } from './row-view.ts';
import type { ResultRow, Sorting } from './rows.ts';

export interface FlatInput {
  readonly state: Pick<ResultsState, 'strings' | 'remembered'>;
  readonly groups: readonly RowGroup[];
  readonly columns: readonly ColumnModel[];
  readonly sorting: Sorting;
  readonly best: ReadonlySet<ResultRow>;
  /** Tells which columns the person chose. */
  readonly chosen: string;
}

export interface FlatWishes {
  sort(sorting: Sorting): void;
  /** Opens or closes a group. */
  fold(group: string): void;
  send(intent: ResultsIntent): void;
}

interface Drawn {
  readonly signature: string;
  readonly element: HTMLTableRowElement;
  row: ResultRow;
}

/** Rows that are drawn before anything else happens. */
const FIRST_ROWS = 40;
/** Pixels; most rows are higher. */
const LEAST_ROW_HEIGHT = 24;

/** Keys that act on the run of a row. */
const KEYS: Readonly<Record<string, RunCommand>> = { F2: 'rename', Delete: 'delete' };

/**
 * The table of runs: headings sort it, boxes choose runs to compare, stars mark the ones worth keeping. Rows that say
 * what they said before are moved, not made again.
 */
export class FlatTable {
  readonly element: HTMLElement;
  readonly #table: HTMLTableElement;
  readonly #head = h('tr');
  readonly #wishes: FlatWishes;
  readonly #focus: GridFocus;
  readonly #drawn = new Map<string, Drawn>();
  readonly #chunks = new RowChunks<ResultRow>(
    (row) => this.#row(row),
    (busy) => setAttribute(this.#table, 'aria-busy', busy ? 'true' : null),
  );
  /** Of the headings, by column, in pixels. */
  readonly #widths = new Map<string, number>();
  #chosen = '';
  #input: FlatInput | null = null;
  #headSignature = '';

  constructor(strings: ResultsStrings, wishes: FlatWishes) {
    this.#wishes = wishes;
    this.#table = h(
      'table',
      { class: 'results flat', role: 'grid', 'aria-label': strings.title, 'aria-multiselectable': 'true' },
      h('thead', {}, this.#head),
    );
    this.#focus = new GridFocus(this.#table);
    this.#table.addEventListener('click', (event) => this.#clicked(event));
    this.#table.addEventListener('keydown', (event) => this.#pressed(event));
    this.element = h('div', { class: 'scroll fills' }, this.#table);
  }

  show(input: FlatInput): void {
    this.#input = input;
    const first = this.#rowsAtOnce(input);
    this.#holdWidths(input.chosen);
    this.#showHead(input);
    this.#focus.keeping(() => {
      const rows = input.groups.filter(({ folded }) => !folded).flatMap((group) => group.rows);
      const wanted = new Set(rows.map(({ key }) => key));
      for (const key of this.#drawn.keys()) if (!wanted.has(key)) this.#drawn.delete(key);
      const bodies = input.groups.map((group) => ({ group, body: bodyOf(group, input) }));
      for (const body of [...this.#table.tBodies]) body.remove();
      this.#table.append(...bodies.map(({ body }) => body));
      const placed = bodies.flatMap(({ group, body }) =>
        group.folded ? [] : group.rows.map((row) => ({ body, row })),
      );
      this.#chunks.place(placed, first);
    });
    this.#showSelection();
  }

  /** As many as are in sight, and up to the one that the focus is on. Sizes are read while nothing has changed yet. */
  #rowsAtOnce({ groups }: FlatInput): number {
    const { scrollTop, clientHeight } = this.element;
    const inSight = Math.ceil((scrollTop + clientHeight) / LEAST_ROW_HEIGHT);
    const key = this.#focus.row;
    const rows = groups.filter(({ folded }) => !folded).flatMap((group) => group.rows);
    const focused = key === undefined ? -1 : rows.findIndex((row) => row.key === key);
    return Math.max(FIRST_ROWS, inSight, focused + 1);
  }

  /** Until other columns are chosen, none becomes narrower: rows that come or go move nothing sideways. */
  #holdWidths(chosen: string): void {
    if (chosen !== this.#chosen) this.#widths.clear();
    else
      for (const cell of this.#head.cells) {
        const { column } = cell.dataset;
        if (column !== undefined) this.#widths.set(column, cell.getBoundingClientRect().width);
      }
    this.#chosen = chosen;
  }

  #row(row: ResultRow): HTMLTableRowElement {
    const { columns, best, state } = this.#input!;
    const input = { row, columns, best: best.has(row), strings: state.strings };
    const signature = rowSignature(input);
    const known = this.#drawn.get(row.key);
    if (known?.signature === signature) {
      known.row = row;
      return known.element;
    }
    const drawn = { signature, element: rowElement(input), row };
    this.#drawn.set(row.key, drawn);
    this.#select(drawn);
    return drawn.element;
  }

  #showHead({ columns, sorting, state: { strings } }: FlatInput): void {
    const signature = JSON.stringify([columns.map(({ id, title }) => [id, title]), sorting]);
    if (signature === this.#headSignature) {
      this.#setWidths();
      return;
    }
    this.#headSignature = signature;
    const hidden = (text: string) =>
      h('th', { scope: 'col', class: 'tick' }, h('span', { class: 'visually-hidden' }, text));
    this.#focus.keeping(() =>
      this.#head.replaceChildren(
        hidden(strings.columns.selected),
        hidden(strings.columns.star),
        ...columns.map((column, index) => heading(column, index === 0, sorting, strings)),
        hidden(strings.openExperiment),
      ),
    );
    this.#setWidths();
  }

  #setWidths(): void {
    for (const cell of this.#head.cells) {
      const width = this.#widths.get(cell.dataset.column ?? '');
      cell.style.minWidth = width === undefined ? '' : `${width}px`;
    }
  }

  #showSelection(): void {
    for (const drawn of this.#drawn.values()) this.#select(drawn);
  }

  #select({ element, row }: Drawn): void {
    const isSelected = this.#input!.state.remembered.selected.includes(row.run.dir);
    if (element.getAttribute('aria-selected') === String(isSelected)) return;
    setAttribute(element, 'aria-selected', String(isSelected));
    element.classList.toggle('selected', isSelected);
    const box = element.querySelector('input');
    if (box) box.checked = isSelected;
  }

  #clicked({ target }: Event): void {
    if (!(target instanceof Element)) return;
    const control = target.closest<HTMLElement>('[data-act], [data-sort], [data-fold]');
    if (control === null) return;
    const { sort, fold, act } = control.dataset;
    if (sort !== undefined) this.#sort(sort);
    else if (fold !== undefined) this.#wishes.fold(fold);
    const row = this.#rowOf(control);
    const asked = ROW_ACTS.find((known) => known === act);
    if (asked && row) this.#act(asked, row);
  }

  #sort(column: string): void {
    const { sorting } = this.#input!;
    this.#wishes.sort({ column, descending: sorting.column === column && !sorting.descending });
  }

  #act(act: RowAct, { run }: ResultRow): void {
    const { send } = this.#wishes;
    if (act === 'select') this.#choose(run.dir);
    else if (act === 'star') send({ type: 'star', run: run.dir, starred: !run.starred });
    else send({ type: 'open', run: run.dir, what: act });
  }

  #choose(dir: string): void {
    const { selected } = this.#input!.state.remembered;
    const next = nextSelection(selected, dir, !selected.includes(dir));
    this.#wishes.send({ type: 'select', selected: next });
  }

  #pressed(event: KeyboardEvent): void {
    const row = event.target instanceof Element ? this.#rowOf(event.target) : null;
    if (row === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const command = KEYS[event.key];
    if (command !== undefined) this.#wishes.send({ type: 'command', run: row.run.dir, command });
    else if (event.key === ' ' && isPlace(event.target)) this.#act('select', row);
    else if (isControl(event.target)) return;
    else if (event.key === 'Enter') this.#act('run', row);
    else return;
    event.preventDefault();
  }

  #rowOf(element: Element): ResultRow | null {
    const key = element.closest<HTMLElement>('tr[data-row]')?.dataset.row;
    return (key !== undefined && this.#drawn.get(key)?.row) || null;
  }
}

/** The heading of a group; its rows come later. */
function bodyOf({ name, title, folded }: RowGroup, { columns }: FlatInput): HTMLTableSectionElement {
  if (name === UNGROUPED) return h('tbody');
  const fold = h(
    'button',
    {
      type: 'button',
      class: 'link fold',
      tabindex: -1,
      'aria-expanded': String(!folded),
      'data-fold': name,
      'data-focus': `fold ${name}`,
    },
    h('span', { 'aria-hidden': 'true' }, folded ? '▸ ' : '▾ '),
    title,
  );
  return h('tbody', {}, h('tr', { class: 'group' }, h('th', { colspan: columns.length + 3 }, fold)));
}

/** A cell, or the name of a run, which Enter opens: space there is about the row. */
function isPlace(target: EventTarget | null): boolean {
  return !isControl(target) || (target instanceof HTMLElement && target.dataset.act === 'run');
}

/** Buttons and boxes take Enter and space themselves. */
function isControl(target: EventTarget | null): boolean {
  return target instanceof HTMLButtonElement || target instanceof HTMLInputElement;
}

/** @param stays whether the column keeps its place while the others scroll. */
function heading(
  { id, title, fullTitle, numeric }: ColumnModel,
  stays: boolean,
  sorting: Sorting,
  strings: ResultsStrings,
): HTMLElement {
  const active = sorting.column === id;
  const arrow = active ? (sorting.descending ? ' ↓' : ' ↑') : '';
  const label = h(
    'button',
    {
      type: 'button',
      class: 'sort',
      tabindex: -1,
      title: fullTitle === title ? null : fullTitle,
      'data-sort': id,
      'data-focus': `sort ${id}`,
      'aria-label': fill(strings.sortBy, fullTitle),
    },
    `${title}${arrow}`,
  );
  const kind = stays ? 'stay' : numeric ? 'number' : null;
  const cell = h('th', { scope: 'col', class: kind, 'data-column': id }, label);
  if (active) setAttribute(cell, 'aria-sort', sorting.descending ? 'descending' : 'ascending');
  return cell;
}

/** One more than can be compared takes the place of the oldest. */
export function nextSelection(selected: readonly string[], dir: string, on: boolean): string[] {
  const others = selected.filter((known) => known !== dir);
  return on ? [...others, dir].slice(-MOST_COMPARED) : others;
}
