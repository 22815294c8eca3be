import type { RoundingErrors, TrainingState } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { Picker } from '../shared/controls.ts';
import { setHidden, setText } from '../shared/dom.ts';
import type { Domain } from '../shared/domain.ts';
import { Figure, type FigureOut } from '../shared/figure.ts';
import { layersLegend } from '../shared/swatch.ts';
import { beforeColor, type Theme } from '../shared/theme.ts';
import {
  linearName,
  type RoundingView,
  roundingChart,
  roundingReadout,
  roundingTable,
  roundingValues,
  spokenRounding,
} from './rounding.ts';

export interface RoundingToggles {
  readonly asTable: boolean;
  /** Name of a linear layer; null for the mean of all. */
  readonly linear: string | null;
}

/** No linear layer is named so. */
const MEAN = '';

/** The error of the weights' rounding over the layers, and the choice of a linear layer. */
export class RoundingFigure {
  readonly element: HTMLElement;
  readonly #figure: Figure;
  readonly #picker: Picker;
  #toggles: RoundingToggles;
  #view: RoundingView | null = null;
  #domain: Domain | null = null;
  /** The run and the linear layer of the axis. */
  #axisOf = '';
  #cursor: number | null = null;
  #legendKey = '';

  constructor(
    strings: TrainingStrings,
    toggles: RoundingToggles,
    { keep, redraw, out }: { keep(toggles: RoundingToggles): void; redraw(): void; readonly out: FigureOut },
  ) {
    this.#toggles = toggles;
    const change = (wish: Partial<RoundingToggles>): void => {
      this.#toggles = { ...this.#toggles, ...wish };
      keep(this.#toggles);
      redraw();
    };
    this.#figure = new Figure({
      id: 'rounding',
      title: strings.rounding.title,
      about: strings.rounding.about,
      strings,
      asTable: toggles.asTable,
      out,
      onToggle: (asTable) => change({ asTable }),
      onPoint: (x) => this.#point(x === null ? null : this.#nearest(Math.round(x))),
      onStep: (step) => this.#move(step),
    });
    this.#picker = new Picker(strings.rounding.linear, (value) =>
      change({ linear: value === MEAN ? null : value }),
    );
    this.#figure.tools.append(this.#picker.element);
    this.element = this.#figure.element;
    this.element.classList.add('full');
  }

  show({ rounding, curves, strings }: TrainingState, theme: Theme): void {
    setHidden(this.element, rounding === null);
    this.#view = rounding && { rounding, strings, linear: this.#linearIn(rounding) };
    if (!this.#view) return;
    this.#keepAxis(JSON.stringify([curves[0]?.dir, this.#view.linear]));
    const view = this.#view;
    const { model, domain } = roundingChart(view, theme, this.#domain);
    this.#domain = domain;
    this.#showChoices(view);
    this.#showLegend(view, theme);
    this.#figure.show(
      { ...model, readout: roundingReadout(view, this.#cursor) },
      () => roundingTable(view),
      theme,
    );
    this.#say(view);
  }

  /** The choice for one model need not exist in another. */
  #linearIn({ linears }: RoundingErrors): string | null {
    const { linear } = this.#toggles;
    return linears.some(({ name }) => name === linear) ? linear : null;
  }

  /** An axis stays still while layers are added. */
  #keepAxis(axisOf: string): void {
    if (axisOf === this.#axisOf) return;
    this.#axisOf = axisOf;
    this.#domain = null;
    this.#cursor = null;
    this.#figure.setRows('cursor', []);
  }

  #showChoices(view: RoundingView): void {
    const names = [null, ...view.rounding.linears.map(({ name }) => name)];
    const choices = names.map((name) => ({ value: name ?? MEAN, label: linearName(name, view) }));
    this.#picker.show(choices, view.linear ?? MEAN);
  }

  #showLegend({ rounding, strings }: RoundingView, theme: Theme): void {
    const key = `${beforeColor(theme)} ${theme.accent} ${rounding.method}`;
    if (key === this.#legendKey) return;
    this.#legendKey = key;
    const names = [strings.rounding.nearest, rounding.method] as const;
    this.#figure.legend.replaceChildren(...layersLegend(theme, names));
  }

  /** The layer drawn next to this one: the last ones may not be there yet. */
  #nearest(layer: number): number | null {
    const layers = this.#view?.rounding.layer ?? [];
    return layers.length === 0 ? null : Math.min(Math.max(layer, layers[0]!), layers.at(-1)!);
  }

  #point(layer: number | null): void {
    if (layer === this.#cursor || !this.#view) return;
    this.#cursor = layer;
    this.#figure.setRows('cursor', layer === null ? [] : [{ layer }]);
    this.#figure.setReadout(roundingReadout(this.#view, layer));
    this.#say(this.#view);
  }

  #move(step: -1 | 1 | 'first' | 'last'): void {
    const layers = this.#view?.rounding.layer ?? [];
    if (layers.length === 0) return;
    const present = this.#cursor === null ? layers.length - 1 : layers.indexOf(this.#cursor);
    const next = step === 'first' ? 0 : step === 'last' ? layers.length - 1 : present + step;
    this.#point(layers[Math.min(Math.max(next, 0), layers.length - 1)]!);
  }

  /** Values in the legend, and the place for those who do not see the chart. */
  #say(view: RoundingView): void {
    const { layer } = view.rounding;
    const [first, last] = [layer[0]!, layer.at(-1)!];
    roundingValues(view, this.#cursor).forEach((value, index) => {
      setText(this.#figure.legend.children[index]!.querySelector('output')!, value);
    });
    this.#figure.setPosition(this.#cursor ?? last, first, last, spokenRounding(view, this.#cursor));
  }
}
