import { SITES, type Site } from '../../../src/protocol/block.ts';
import { fill } from '../../../src/protocol/panels/fill.ts';
import {
  LINEAR_CHOICES,
  type LinearChoice,
  type MatrixTable,
  PICTURE_FORMATS,
  type PictureFormat,
} from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import { Picker } from '../../shared/controls.ts';
import { button, h, setHidden, setText } from '../../shared/dom.ts';
import { Figure } from '../../shared/figure.ts';
import { standaloneSpec } from '../../shared/standalone-spec.ts';
import { lineSwatch, shapeSwatch } from '../../shared/swatch.ts';
import type { Theme } from '../../shared/theme.ts';
import { pictureFile } from '../../shared/vega-export.ts';
import { PICTURES, type PictureId } from './pictures.ts';
import { bitsOfTable } from './table.ts';
import type { Picture, PictureKind, PictureView, Series } from './view.ts';

const IDS = Object.keys(PICTURES) as PictureId[];
/** Charts over the layers draw lines; all others points. */
const WITH_LINES: readonly PictureId[] = [
  'kurtosis',
  'error',
  'weight-kurtosis',
  'weight-error',
  'output-error',
];

export interface PictureToggles {
  /** Pictures that are shown as tables. */
  readonly tables: readonly PictureId[];
  /** `perplexity wikitext2`; null for the first column. */
  readonly column: string | null;
  readonly site: Site;
  readonly linear: LinearChoice;
}

export interface PictureWishes {
  readonly toggles: PictureToggles;
  keep(change: Partial<PictureToggles>): void;
  chooseBits(bits: string): void;
  save(picture: { readonly format: PictureFormat; readonly name: string; readonly content: string }): void;
}

interface Shown {
  readonly id: PictureId;
  readonly figure: Figure;
  legendKey: string;
}

/** The pictures of a table, and the choices that they share. */
export class MatrixFigures {
  readonly element: HTMLElement;
  readonly #strings: MatrixStrings;
  readonly #wishes: PictureWishes;
  readonly #column: Picker;
  readonly #bits: Picker;
  readonly #site: Picker;
  readonly #linear: Picker;
  readonly #shown: readonly Shown[];
  readonly #missing = h('ul', { class: 'quiet missing' });
  #view: PictureView | null = null;
  #theme: Theme | null = null;

  constructor(strings: MatrixStrings, wishes: PictureWishes) {
    this.#strings = strings;
    this.#wishes = wishes;
    this.#column = new Picker(strings.measured, (column) => wishes.keep({ column }), true);
    this.#bits = new Picker(strings.bits, (bits) => wishes.chooseBits(bits));
    this.#site = new Picker(strings.site, (value) =>
      wishes.keep({ site: SITES.find((site) => site === value) ?? wishes.toggles.site }),
    );
    const chooseLinear = (value: string) =>
      wishes.keep({ linear: LINEAR_CHOICES.find((linear) => linear === value) ?? wishes.toggles.linear });
    this.#linear = new Picker(strings.linear, chooseLinear, true);
    this.#shown = IDS.map((id) => this.#made(id));
    const pickers = [this.#column, this.#bits, this.#site, this.#linear].map(({ element }) => element);
    this.element = h(
      'section',
      { class: 'pictures', 'aria-labelledby': 'pictures-title' },
      h('h2', { id: 'pictures-title' }, strings.pictures),
      h('div', { class: 'row' }, ...pickers),
      h('div', { class: 'figures' }, ...this.#shown.map(({ figure }) => figure.element)),
      this.#missing,
    );
  }

  show(table: MatrixTable, theme: Theme): void {
    const { toggles } = this.#wishes;
    const column = Math.max(
      0,
      table.columns.findIndex((one) => columnKey(one) === toggles.column),
    );
    const view = { table, strings: this.#strings, column, site: toggles.site, linear: toggles.linear };
    this.#view = view;
    this.#theme = theme;
    this.#showChoices(view);
    const missing: string[] = [];
    for (const shown of this.#shown) {
      const kind = PICTURES[shown.id];
      const picture = kind.draw(view, theme, false);
      setHidden(shown.figure.element, picture.empty !== '');
      if (picture.empty !== '') missing.push(`${this.#strings.titles[shown.id]}: ${picture.empty}`);
      else this.#draw(shown, picture, () => kind.table(view), theme);
    }
    const items = [...this.#missing.children].map(({ textContent }) => textContent);
    if (items.join('\n') !== missing.join('\n'))
      this.#missing.replaceChildren(...missing.map((text) => h('li', {}, text)));
    setHidden(this.#missing, missing.length === 0);
  }

  #made(id: PictureId): Shown {
    const strings = this.#strings;
    const title = strings.titles[id];
    const figure = new Figure({
      id,
      title,
      about: '',
      strings,
      asTable: this.#wishes.toggles.tables.includes(id),
      onToggle: (asTable) => {
        const others = this.#wishes.toggles.tables.filter((other) => other !== id);
        this.#wishes.keep({ tables: asTable ? [...others, id] : others });
      },
    });
    figure.tools.append(
      ...PICTURE_FORMATS.map((format) =>
        button(strings.formats[format], () => void this.#save(id, format), {
          class: 'link',
          'aria-label': fill(strings.save, title, strings.formats[format]),
        }),
      ),
    );
    return { id, figure, legendKey: '' };
  }

  #draw(shown: Shown, picture: Picture, table: () => ReturnType<PictureKind['table']>, theme: Theme): void {
    const { figure, id } = shown;
    figure.setAbout(picture.about);
    figure.show(picture.model, table, theme);
    const key = JSON.stringify(picture.legend);
    if (key === shown.legendKey) return;
    shown.legendKey = key;
    figure.legend.replaceChildren(
      ...picture.legend.map((series) => legendItem(series, WITH_LINES.includes(id))),
    );
  }

  #showChoices({ table, column, site, linear }: PictureView): void {
    const { strings } = { strings: this.#strings };
    const columns = table.columns.map((one) => ({
      value: columnKey(one),
      label: `${one.name} · ${strings.kinds[one.metric]}`,
    }));
    this.#column.show(columns, columns[column]?.value ?? '');
    this.#bits.show(
      bitsOfTable(table).map((bits) => ({ value: bits, label: bits })),
      table.bits,
    );
    const sites = SITES.filter((one) => table.depth.some(({ kurtosis }) => kurtosis[one]));
    this.#site.show(
      sites.map((one) => ({ value: one, label: strings.sites[one] })),
      site,
    );
    setHidden(this.#site.element, sites.length === 0);
    const linears = LINEAR_CHOICES.filter((one) =>
      table.depth.some(({ weightKurtosis, outputError }) => weightKurtosis[one] ?? outputError[one]),
    );
    this.#linear.show(
      linears.map((one) => ({ value: one, label: one === 'mean' ? strings.allLinears : one })),
      linear,
    );
    setHidden(this.#linear.element, linears.length === 0);
  }

  async #save(id: PictureId, format: PictureFormat): Promise<void> {
    const [view, theme] = [this.#view, this.#theme];
    if (!view || !theme) return;
    const { model, about } = PICTURES[id].draw(view, theme, true);
    const spec = standaloneSpec(model, { text: this.#strings.titles[id], subtitle: about }, theme);
    this.#wishes.save({ format, name: id, content: await pictureFile(spec, format) });
  }
}

export function columnKey({ metric, name }: MatrixTable['columns'][number]): string {
  return `${metric} ${name}`;
}

function legendItem({ name, color, shape, dash, filled }: Series, withLine: boolean): HTMLElement {
  const text = h('span');
  setText(text, name);
  return h('span', {}, withLine ? lineSwatch(color, dash) : null, shapeSwatch(color, shape, filled), text);
}
