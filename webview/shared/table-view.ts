import type { TableModel } from './chart-model.ts';
import { h, setText } from './dom.ts';

/** A real table that changes in place: new rows come at the end, cells only where their text changed. */
export class TableView {
  readonly element: HTMLTableElement = h('table', { class: 'twin' });
  readonly #caption = h('caption');
  readonly #head = h('tr');
  readonly #body = h('tbody');

  constructor() {
    this.element.append(this.#caption, h('thead', {}, this.#head), this.#body);
  }

  show({ caption, columns, rows }: TableModel): void {
    setText(this.#caption, caption);
    const wanted = columns.map(({ title }) => title).join('\u0000');
    const present = [...this.#head.cells].map(({ textContent }) => textContent).join('\u0000');
    if (wanted !== present) {
      const numeric = (on: boolean) => (on ? 'number' : null);
      this.#head.replaceChildren(
        ...columns.map((column) => h('th', { scope: 'col', class: numeric(column.numeric) }, column.title)),
      );
      this.#body.replaceChildren();
    }
    while (this.#body.rows.length > rows.length) this.#body.lastElementChild!.remove();
    rows.forEach((cells, index) => {
      const row = this.#body.rows[index];
      if (row) for (const [column, text] of cells.entries()) setText(row.cells[column]!, text);
      else this.#body.append(newRow(cells, columns));
    });
  }
}

function newRow(cells: readonly string[], columns: TableModel['columns']): HTMLTableRowElement {
  return h(
    'tr',
    {},
    ...cells.map((text, index) =>
      index === 0
        ? h('th', { scope: 'row', class: columns[index]!.numeric ? 'number' : null }, text)
        : h('td', { class: columns[index]!.numeric ? 'number' : null }, text),
    ),
  );
}
