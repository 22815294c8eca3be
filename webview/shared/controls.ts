import '@vscode-elements/elements/dist/vscode-button/index.js';
import '@vscode-elements/elements/dist/vscode-checkbox/index.js';
import '@vscode-elements/elements/dist/vscode-option/index.js';
import '@vscode-elements/elements/dist/vscode-single-select/index.js';
import '@vscode-elements/elements/dist/vscode-textfield/index.js';
import type { Notice, Problem } from '../../src/protocol/panels/common.ts';
import { h, setHidden, setText } from './dom.ts';

/** The thin layer over `@vscode-elements/elements`: everything a panel takes from that package is made here. */

export function pushButton(text: string, action: () => void, secondary = false): HTMLElement {
  const element = h('vscode-button', {}, text);
  element.secondary = secondary;
  element.addEventListener('click', action);
  return element;
}

export interface Toggle {
  readonly element: HTMLElement;
  set(checked: boolean): void;
}

export function checkbox(label: string, checked: boolean, change: (checked: boolean) => void): Toggle {
  const element = h('vscode-checkbox', { label });
  element.checked = checked;
  element.addEventListener('change', () => change(element.checked));
  return {
    element,
    set(next) {
      if (element.checked !== next) element.checked = next;
    },
  };
}

export interface Choice {
  readonly value: string;
  readonly label: string;
}

/** Pixels that the longest list takes. */
const LIST_HEIGHT = 240;

/** A labelled drop-down list. Its options are rewritten only when they change, so that an open list stays open. */
export class Picker {
  readonly element: HTMLElement;
  readonly #select = h('vscode-single-select');
  #known = '';

  constructor(label: string, change: (value: string) => void, wide = false) {
    this.#select.label = label;
    this.element = h(
      'div',
      { class: wide ? 'picker wide' : 'picker' },
      h('span', { class: 'picker-label', 'aria-hidden': 'true' }, label),
      this.#select,
    );
    this.#select.addEventListener('change', () => change(this.#select.value));
    for (const opening of ['pointerdown', 'keydown'])
      this.#select.addEventListener(opening, () => this.#place());
  }

  /** A list that would end below the window opens upwards. */
  #place(): void {
    const { top, bottom } = this.#select.getBoundingClientRect();
    const below = window.innerHeight - bottom;
    this.#select.position = below < LIST_HEIGHT && below < top ? 'above' : 'below';
  }

  show(choices: readonly Choice[], value: string): void {
    const known = JSON.stringify(choices);
    if (known !== this.#known) {
      this.#known = known;
      this.#select.replaceChildren(
        ...choices.map((choice) =>
          h('vscode-option', { value: choice.value, selected: choice.value === value }, choice.label),
        ),
      );
    }
    if (this.#select.value !== value) this.#select.value = value;
  }
}

export function textField(label: string, value: string, change: (value: string) => void): HTMLElement {
  const element = h('vscode-textfield', { placeholder: label, type: 'search' });
  element.label = label;
  element.value = value;
  element.addEventListener('input', () => change(element.value));
  return element;
}

export interface EmptyStrings {
  readonly title: string;
  readonly text: string;
  readonly time: string;
  readonly optimize: string;
  readonly newExperiment: string;
  readonly newest: string;
}

/** Says what a panel will show, how long that takes, and how to begin. */
export function emptyState(
  strings: EmptyStrings,
  begin: (what: 'new-experiment' | 'optimize') => void,
): HTMLElement {
  return h(
    'section',
    { class: 'empty' },
    h('h1', {}, strings.title),
    h('p', {}, strings.text),
    h('p', { class: 'quiet' }, strings.time),
    h(
      'p',
      { class: 'buttons' },
      pushButton(strings.optimize, () => begin('optimize')),
      pushButton(strings.newExperiment, () => begin('new-experiment'), true),
    ),
  );
}

/** Says what is waited for; or what is wrong, with a way to what there is. */
export function noticeBox(
  { kind, title, text }: Notice,
  strings: EmptyStrings,
  newest: () => void,
): HTMLElement {
  const isWork = kind === 'work';
  return h(
    'section',
    { class: 'empty', role: isWork ? 'status' : 'alert' },
    h('h1', {}, title),
    h('p', { class: isWork ? 'quiet' : null }, text),
    isWork ? null : h('p', { class: 'buttons' }, pushButton(strings.newest, newest, true)),
  );
}

/** The place for the fault of a run. */
export class ProblemBox {
  readonly element: HTMLElement;
  readonly #message = h('strong');
  readonly #hint = h('span');

  constructor() {
    this.element = h('div', { class: 'problem', role: 'alert' }, this.#message, this.#hint);
    this.element.hidden = true;
  }

  show(problem: Problem | null): void {
    setText(this.#message, problem?.message ?? '');
    setText(this.#hint, problem?.hint ?? '');
    setHidden(this.element, !problem);
  }
}
