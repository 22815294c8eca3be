import type { RunName } from '../../src/protocol/panels/common.ts';
import type { RunCurves, TrainingIntent, TrainingState } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { checkbox, type Toggle } from '../shared/controls.ts';
import { h } from '../shared/dom.ts';
import { shapeSwatch } from '../shared/swatch.ts';
import type { Theme } from '../shared/theme.ts';
import { MARKS, SHAPES } from './definitions.ts';

/** The runs whose curves are drawn, with their signs, and those that may be laid over them. */
export class Overlays {
  readonly element: HTMLElement;
  readonly #send: (intent: TrainingIntent) => void;
  readonly #list = h('div', { class: 'row' });
  readonly #toggles = new Map<string, Toggle>();
  #key = '';

  constructor(strings: TrainingStrings, send: (intent: TrainingIntent) => void) {
    this.#send = send;
    this.element = h(
      'div',
      { class: 'row overlays', role: 'group', 'aria-label': strings.overlay },
      h('span', { class: 'quiet', 'aria-hidden': 'true' }, strings.overlay),
      this.#list,
    );
  }

  show({ run, curves, others, strings }: TrainingState, theme: Theme): void {
    const key = JSON.stringify([curves[0]?.dir, others, theme.runs]);
    if (key !== this.#key) this.#rebuild(run?.bits ?? '', curves, others, strings, theme);
    this.#key = key;
    for (const { dir, shown } of others) this.#toggles.get(dir)?.set(shown);
    this.element.hidden = others.length === 0;
  }

  #rebuild(
    bits: string,
    curves: readonly RunCurves[],
    others: TrainingState['others'],
    strings: TrainingStrings,
    theme: Theme,
  ): void {
    const present = new Set(others.map(({ dir }) => dir));
    for (const dir of this.#toggles.keys()) if (!present.has(dir)) this.#toggles.delete(dir);
    const own = curves[0] ? [runSign(curves[0].mark, strings.thisRun, theme)] : [];
    const choices = others.map((other) => {
      const toggle = this.#toggleOf(other.dir, labelOf(other, bits), other.shown);
      const sign = other.mark === null ? null : runSign(other.mark, '', theme);
      return h('span', { class: 'swatch-label' }, sign, toggle.element);
    });
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    this.#list.replaceChildren(...own, ...choices);
    if (focused instanceof HTMLElement) focused.focus();
  }

  #toggleOf(dir: string, label: string, shown: boolean): Toggle {
    const known = this.#toggles.get(dir);
    if (known) return known;
    const toggle = checkbox(label, shown, (checked) =>
      this.#send({ type: 'overlay', run: dir, shown: checked }),
    );
    this.#toggles.set(dir, toggle);
    return toggle;
  }
}

/** Bits are only said where they are not those of the run shown. */
function labelOf({ name, title, bits }: RunName, own: string): string {
  return bits === own ? name : title;
}

/** The shape, colour and letter that a run's lines end in. */
function runSign(mark: string, text: string, theme: Theme): HTMLElement {
  const index = MARKS.indexOf(mark);
  const color = theme.runs[index] ?? theme.foreground;
  return h(
    'span',
    { class: 'swatch-label' },
    shapeSwatch(color, SHAPES[index] ?? 'circle'),
    h('strong', {}, mark),
    text === '' ? null : text,
  );
}
