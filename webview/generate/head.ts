import type { RunName } from '../../src/protocol/panels/common.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { GenerateIntent, GenerateState } from '../../src/protocol/panels/generate.ts';
import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import type { Bridge } from '../shared/bridge.ts';
import { ProblemBox, pushButton } from '../shared/controls.ts';
import { button, h, setAttribute, setHidden, setText } from '../shared/dom.ts';
import { draftOf, Fields } from './fields.ts';
import type { GenerateToggles } from './toggles.ts';

type Line = Bridge<GenerateState, GenerateIntent, GenerateToggles>;

/** The prompt, the settings, the columns chosen and the buttons. */
export class GenerateHead {
  readonly element: HTMLElement;
  readonly #line: Line;
  readonly #fields: Fields;
  readonly #chips = h('span', { class: 'chips' });
  readonly #generate: HTMLElement;
  readonly #stop: HTMLElement;
  readonly #activity = h('span', { class: 'activity', role: 'status' });
  readonly #progress = h('progress', { max: 1, value: 0 });
  readonly #problem = new ProblemBox();
  #running = false;
  #chipsKey = '';

  constructor({ strings, remembered }: GenerateState, line: Line) {
    this.#line = line;
    const draft = { ...draftOf(remembered.settings), ...line.toggles.draft };
    this.#fields = new Fields(
      strings,
      draft,
      (typed) => line.keep({ draft: typed }),
      () => this.#start(),
    );
    this.#generate = pushButton(strings.generate, () => this.#start());
    this.#stop = pushButton(strings.stop, () => line.send({ type: 'stop' }), true);
    setAttribute(this.#progress, 'aria-label', strings.generate);
    const add = button(strings.addRun, () => line.send({ type: 'add-run' }), { class: 'link' });
    const keys = h('kbd', { class: 'quiet' }, strings.keys);
    this.element = h(
      'header',
      { class: 'panel-head' },
      h('div', { class: 'titles' }, h('h1', {}, strings.title), h('p', { class: 'quiet' }, strings.about)),
      this.#fields.prompt,
      h('div', { class: 'row' }, this.#fields.numbers),
      h('div', { class: 'row', role: 'group', 'aria-label': strings.columns }, this.#chips, add),
      h('div', { class: 'row buttons' }, this.#generate, this.#stop, keys, this.#activity),
      this.#progress,
      this.#problem.element,
    );
  }

  show({ strings, chosen, running, activity, done, problem }: GenerateState): void {
    this.#running = running;
    this.#showChips(chosen, strings);
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#generate;
    setHidden(this.#generate, running);
    setHidden(this.#stop, !running);
    if (hadFocus) (running ? this.#stop : this.#generate).focus();
    setText(this.#activity, activity);
    // It keeps its place: nothing below it moves when the work begins or ends.
    setAttribute(this.#progress, 'data-idle', !running);
    this.#progress.value = done;
    this.#problem.show(problem);
  }

  #start(): void {
    if (this.#running) return;
    const settings = this.#fields.read();
    if (settings) this.#line.send({ type: 'generate', settings });
  }

  #showChips(chosen: readonly RunName[], strings: GenerateStrings): void {
    const key = JSON.stringify(chosen);
    if (key === this.#chipsKey) return;
    this.#chipsKey = key;
    this.#chips.replaceChildren(
      h('span', { class: 'chip' }, strings.fullPrecision),
      ...chosen.map(({ dir, name, title }) =>
        h(
          'span',
          { class: 'chip' },
          h('span', { class: 'chip-name' }, title),
          button('×', () => this.#line.send({ type: 'remove-run', run: dir }), {
            class: 'icon',
            'aria-label': fill(strings.removeRun, name),
          }),
        ),
      ),
    );
  }
}
