/** One tab stop for a table: arrow keys move the focus among cells, and controls in cells take it for them. */

/** Rows that Page Up and Page Down move by. */
const PAGE = 10;

export class GridFocus {
  readonly #table: HTMLTableElement;
  /** The place that Tab leads to. */
  #current: HTMLElement | null = null;

  constructor(table: HTMLTableElement) {
    this.#table = table;
    table.addEventListener('keydown', (event) => this.#pressed(event));
    table.addEventListener('focusin', ({ target }) => {
      if (target instanceof HTMLElement) this.#become(target);
    });
    table.addEventListener('mousedown', ({ target }) => {
      const cell = target instanceof Element ? target.closest<HTMLElement>('td, th') : null;
      if (cell && !cell.contains(document.activeElement)) this.#become(stopOf(cell));
    });
  }

  /**
   * Redraws the table, or a part of it; focus stays with what it was on. Nothing here asks for sizes while nothing has
   * the focus, for that would lay out the table twice.
   */
  keeping(redraw: () => void): void {
    const { activeElement } = document;
    const hadFocus = activeElement !== null && this.#table.contains(activeElement);
    const place = this.#current && placeOf(this.#current);
    redraw();
    const again = this.#current?.isConnected ? this.#current : place && this.#find(place);
    const next = again ?? this.#table.tHead?.querySelector<HTMLElement>('[data-sort]') ?? null;
    if (next) this.#become(next);
    if (hadFocus && next && document.activeElement !== next) next.focus({ preventScroll: true });
  }

  /** The row that Tab leads to, by its key; undefined for a heading. */
  get row(): string | undefined {
    return this.#current?.closest('tr')?.dataset.row;
  }

  #become(stop: HTMLElement): void {
    if (this.#current && this.#current !== stop) this.#current.tabIndex = -1;
    this.#current = stop;
    stop.tabIndex = 0;
  }

  /** The places of each row that is there, headings included. */
  #rows(): HTMLElement[][] {
    return [...this.#table.rows].map(stopsOf).filter((stops) => stops.length > 0);
  }

  #find({ name, row, index }: Place): HTMLElement | null {
    if (name !== null) {
      const named = [...this.#table.querySelectorAll<HTMLElement>('[data-focus]')];
      return named.find((stop) => stop.dataset.focus === name) ?? null;
    }
    const same = [...this.#table.rows].find((one) => one.dataset.row === row);
    return same?.cells[index] ?? null;
  }

  #pressed(event: KeyboardEvent): void {
    if (event.altKey || !(event.target instanceof HTMLElement)) return;
    const rows = this.#rows();
    const row = rows.findIndex((stops) => stops.includes(event.target as HTMLElement));
    if (row < 0) return;
    const index = rows[row]!.indexOf(event.target);
    const [toRow, toIndex] = target(event, { row, index }, rows) ?? [];
    if (toRow === undefined || toIndex === undefined) return;
    event.preventDefault();
    const stops = rows[Math.max(0, Math.min(rows.length - 1, toRow))]!;
    const stop = stops[Math.max(0, Math.min(stops.length - 1, toIndex))];
    if (!stop) return;
    this.#become(stop);
    stop.focus({ preventScroll: true });
    (stop.closest('td, th') ?? stop).scrollIntoView({ block: 'nearest', inline: 'nearest' });
    // Nothing is left over at either end.
    if (stop === stops.at(-1)) this.#table.parentElement?.scrollBy({ left: this.#table.scrollWidth });
    if (stop === stops[0]) this.#table.parentElement?.scrollTo({ left: 0 });
  }
}

interface Place {
  readonly name: string | null;
  readonly row: string | undefined;
  /** Place of the cell in its row. */
  readonly index: number;
}

function placeOf(stop: HTMLElement): Place {
  const row = stop.closest('tr');
  return {
    name: stop.dataset.focus ?? null,
    row: row?.dataset.row,
    index: stop.closest<HTMLTableCellElement>('td, th')?.cellIndex ?? 0,
  };
}

/** Each cell, or the control in it; of a cell with several each of these. */
function stopsOf(row: HTMLTableRowElement): HTMLElement[] {
  return [...row.cells].flatMap((cell) => {
    const controls = [...cell.querySelectorAll<HTMLElement>('[data-focus]')];
    if (controls.length === 0) return cell.closest('thead') ? [] : [cell]; // An empty heading says nothing.
    return cell.classList.contains('actions')
      ? controls.filter((one) => one.offsetParent !== null)
      : controls;
  });
}

function stopOf(cell: HTMLElement): HTMLElement {
  return cell.querySelector<HTMLElement>('[data-focus]') ?? cell;
}

/** The row and place that a key leads to; null for other keys. */
function target(
  { key, ctrlKey, metaKey }: KeyboardEvent,
  { row, index }: { readonly row: number; readonly index: number },
  rows: readonly (readonly HTMLElement[])[],
): readonly [row: number, index: number] | null {
  const whole = ctrlKey || metaKey;
  const vertical = (to: number): readonly [number, number] => [to, alike(rows, row, index, to)];
  switch (key) {
    case 'ArrowUp':
      return vertical(whole ? 1 : row - 1);
    case 'ArrowDown':
      return vertical(whole ? rows.length - 1 : row + 1);
    case 'PageUp':
      return vertical(Math.max(1, row - PAGE));
    case 'PageDown':
      return vertical(row + PAGE);
    case 'ArrowLeft':
      return [row, index - 1];
    case 'ArrowRight':
      return [row, index + 1];
    case 'Home':
      return [whole ? 0 : row, 0];
    case 'End':
      return [whole ? rows.length - 1 : row, Number.POSITIVE_INFINITY];
  }
  return null;
}

/** The place in another row that stands in the same column. */
function alike(rows: readonly (readonly HTMLElement[])[], row: number, index: number, to: number): number {
  const column = columnOf(rows[row]?.[index]);
  const other = rows[Math.max(0, Math.min(rows.length - 1, to))] ?? [];
  const found = other.findIndex((stop) => columnOf(stop) >= column);
  return found < 0 ? other.length - 1 : found;
}

function columnOf(stop: HTMLElement | undefined): number {
  return stop?.closest<HTMLTableCellElement>('td, th')?.cellIndex ?? 0;
}
