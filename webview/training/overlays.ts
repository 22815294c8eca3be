import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves, TrainingIntent, TrainingState } from '../../src/protocol/panels/training.ts';
import { SMOOTHING } from '../../src/protocol/panels/training-limits.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { Picker } from '../shared/controls.ts';
import { button, h, setAttribute, setHidden, setText } from '../shared/dom.ts';
import { shapeSwatch } from '../shared/swatch.ts';
import type { Theme } from '../shared/theme.ts';
import { MARKS, SHAPES } from './definitions.ts';
import type { CurveView } from './view.ts';

/** The runs whose curves are drawn, as chips, and what all charts share: their x axis and the smoothing. */
export class Overlays {
  readonly element: HTMLElement;
  readonly #send: (intent: TrainingIntent) => void;
  readonly #change: (change: Partial<CurveView>) => void;
  readonly #chips = h('span', { class: 'chips' });
  readonly #add: HTMLButtonElement;
  readonly #whole: HTMLButtonElement;
  readonly #axis: Picker;
  readonly #strings: TrainingStrings;
  readonly #slider = h('input', { type: 'range', min: SMOOTHING.least, max: SMOOTHING.most, step: 1 });
  readonly #sliderText = h('output');
  #key = '';

  constructor(
    strings: TrainingStrings,
    send: (intent: TrainingIntent) => void,
    change: (change: Partial<CurveView>) => void,
  ) {
    this.#strings = strings;
    this.#send = send;
    this.#change = change;
    this.#add = button(strings.addRun, () => send({ type: 'add' }), { class: 'chip add' });
    this.#whole = button(strings.resetZoom, () => change({ zoom: null }), { class: 'link' });
    this.#axis = new Picker(strings.xAxis, (x) => change({ x: x === 'time' ? 'time' : 'step', zoom: null }));
    setAttribute(this.#slider, 'aria-label', strings.smoothing);
    this.#slider.addEventListener('input', () => this.#smooth(Number(this.#slider.value)));
    this.element = h(
      'div',
      { class: 'row overlays', role: 'group', 'aria-label': strings.curves },
      this.#chips,
      this.#add,
      this.#axis.element,
      h(
        'label',
        { class: 'slider' },
        h('span', { class: 'quiet' }, strings.smoothing),
        this.#slider,
        this.#sliderText,
      ),
      this.#whole,
    );
  }

  show({ curves, overlays, canAdd, remembered }: TrainingState, theme: Theme, view: CurveView): void {
    const key = JSON.stringify([
      curves.map(({ dir, mark, name }) => [dir, mark, name]),
      theme.runs,
      view.hidden,
    ]);
    if (key !== this.#key) this.#rebuild(curves, theme, view);
    this.#key = key;
    setHidden(this.#chips, overlays.length === 0);
    this.#add.disabled = !canAdd;
    setHidden(this.#add, !canAdd && overlays.length === 0);
    setHidden(this.#whole, view.zoom === null);
    const { xChoices } = this.#strings;
    this.#axis.show(
      (['step', 'time'] as const).map((value) => ({ value, label: xChoices[value] })),
      view.x,
    );
    if (document.activeElement !== this.#slider) this.#slider.value = String(remembered.smoothing);
    this.#saySmoothing(remembered.smoothing);
  }

  #smooth(steps: number): void {
    this.#saySmoothing(steps);
    this.#send({ type: 'smooth', steps });
  }

  #saySmoothing(steps: number): void {
    const text = fill(this.#strings.smoothingSteps, steps);
    setText(this.#sliderText, text);
    setAttribute(this.#slider, 'aria-valuetext', text);
  }

  #rebuild(curves: readonly RunCurves[], theme: Theme, view: CurveView): void {
    const focused = this.#chips.contains(document.activeElement);
    this.#chips.replaceChildren(...curves.map((curve, index) => this.#chip(curve, index > 0, theme, view)));
    if (focused) this.#add.focus();
  }

  /** The sign of a run, which hides its lines, and a cross, which takes it away. */
  #chip(
    { mark, name, dir }: RunCurves,
    isOverlay: boolean,
    theme: Theme,
    { hidden }: CurveView,
  ): HTMLElement {
    const index = MARKS.indexOf(mark);
    const isShown = !hidden.includes(mark);
    const toggle = button('', () => this.#toggle(mark, hidden), {
      class: 'toggle',
      'aria-pressed': String(isShown),
      'aria-label': fill(this.#strings.showRun, name),
      title: name,
    });
    toggle.append(
      shapeSwatch(theme.runs[index] ?? theme.foreground, SHAPES[index] ?? 'circle', isShown),
      h('strong', {}, mark),
      h('span', { class: 'chip-name' }, isOverlay ? name : this.#strings.thisRun),
    );
    const remove = button('×', () => this.#send({ type: 'remove', run: dir }), {
      class: 'icon',
      'aria-label': fill(this.#strings.removeRun, name),
    });
    return h('span', { class: 'chip' }, toggle, isOverlay ? remove : null);
  }

  #toggle(mark: string, hidden: readonly string[]): void {
    const others = hidden.filter((one) => one !== mark);
    this.#change({ hidden: others.length < hidden.length ? others : [...others, mark] });
  }
}
