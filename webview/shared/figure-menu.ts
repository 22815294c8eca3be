import { fill } from '../../src/protocol/panels/fill.ts';
import type { PictureFormat } from '../../src/protocol/panels/matrix.ts';
import { button, h, setAttribute, setHidden } from './dom.ts';

export interface MenuStrings {
  readonly saveOf: string;
  readonly saveAs: Readonly<Record<PictureFormat, string>>;
  readonly copyValues: string;
}

const FORMATS: readonly PictureFormat[] = ['svg', 'png', 'vega-lite'];

/** The ways out of a figure: its picture in three formats, and its numbers. */
export class FigureMenu {
  readonly element: HTMLElement;
  readonly #opener: HTMLButtonElement;
  readonly #list: HTMLElement;

  constructor(title: string, strings: MenuStrings, save: (format: PictureFormat) => void, copy: () => void) {
    this.#opener = button('⤓', () => this.#open(this.#list.hidden === true), {
      class: 'icon',
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
      'aria-label': fill(strings.saveOf, title),
    });
    const item = (text: string, act: () => void) =>
      button(
        text,
        () => {
          this.#open(false);
          this.#opener.focus();
          act();
        },
        { role: 'menuitem', tabindex: -1 },
      );
    this.#list = h(
      'div',
      { class: 'menu-list', role: 'menu', 'aria-label': fill(strings.saveOf, title), hidden: true },
      ...FORMATS.map((format) => item(strings.saveAs[format], () => save(format))),
      item(strings.copyValues, copy),
    );
    this.element = h('span', { class: 'menu' }, this.#opener, this.#list);
    this.element.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('focusout', ({ relatedTarget }) => {
      if (!(relatedTarget instanceof Node) || !this.element.contains(relatedTarget)) this.#open(false);
    });
  }

  #open(open: boolean): void {
    setHidden(this.#list, !open);
    setAttribute(this.#opener, 'aria-expanded', String(open));
    if (open) this.#items()[0]?.focus();
  }

  #items(): HTMLElement[] {
    return [...this.#list.children].filter((child) => child instanceof HTMLElement);
  }

  #key(event: KeyboardEvent): void {
    if (this.#list.hidden) return;
    const items = this.#items();
    const present = items.indexOf(document.activeElement as HTMLElement);
    const next = { ArrowDown: present + 1, ArrowUp: present - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === 'Escape') {
      this.#open(false);
      this.#opener.focus();
    } else if (next !== undefined) items.at(next % items.length)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
