import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves, TrainingState } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { Row } from '../shared/chart-model.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import type { Domain } from '../shared/domain.ts';
import { Figure } from '../shared/figure.ts';
import { formatNumber } from '../shared/format.ts';
import { lineSwatch } from '../shared/swatch.ts';
import { readTheme, type Theme } from '../shared/theme.ts';
import { TREND_STEPS, trainingChart } from './charts.ts';
import { type ChartDefinition, type ChartId, DASHES, DEFINITIONS } from './definitions.ts';
import { legendValues, readout, spokenValues, trainingTable } from './readouts.ts';

interface Shown {
  readonly definition: ChartDefinition;
  readonly figure: Figure;
  domain: Domain | null;
  legendKey: string;
}

/** The six charts and the cursor they share. */
export class TrainingFigures {
  readonly element = h('div', { class: 'figures' });
  readonly #charts: readonly Shown[];
  readonly #strings: TrainingStrings;
  #curves: readonly RunCurves[] = [];
  #cursor: number | null = null;
  #run = '';
  #theme: Theme = readTheme();

  /** @param tables charts that are shown as tables. */
  constructor(
    strings: TrainingStrings,
    tables: readonly ChartId[],
    onTables: (tables: readonly ChartId[]) => void,
    redraw: () => void,
  ) {
    this.#strings = strings;
    const open = new Set(tables);
    this.#charts = DEFINITIONS.map((definition) => ({
      definition,
      domain: null,
      legendKey: '',
      figure: new Figure({
        id: definition.id,
        title: strings.charts[definition.id],
        about: aboutOf(definition.id, strings, []),
        strings,
        asTable: open.has(definition.id),
        onToggle: (asTable) => {
          if (asTable) open.add(definition.id);
          else open.delete(definition.id);
          onTables([...open]);
          redraw();
        },
        onPoint: (x) => this.#point(x === null ? null : Math.round(x)),
        onStep: (step) => this.#move(step),
      }),
    }));
    this.element.append(...this.#charts.map(({ figure }) => figure.element));
  }

  /** @param learns whether there are steps, or will be. */
  show({ curves, strings }: TrainingState, theme: Theme, learns: boolean): void {
    this.#curves = curves;
    this.#theme = theme;
    const run = curves[0]?.dir ?? '';
    if (run !== this.#run) this.#forgetAxes(run);
    for (const chart of this.#charts) {
      const { definition, figure } = chart;
      setHidden(figure.element, !learns);
      const drawn = trainingChart({ definition, curves, strings, theme, previous: chart.domain });
      chart.domain = drawn.domain;
      const model = { ...drawn.model, readout: readout(definition, curves, strings, this.#cursor) };
      figure.setAbout(aboutOf(definition.id, strings, model.data.rules ?? [], curves[0]));
      figure.show(model, () => trainingTable(definition, curves, strings), theme);
      this.#showLegend(chart, theme);
      this.#say(chart);
    }
  }

  /** Axes stay still for the steps of one run, not from run to run. */
  #forgetAxes(run: string): void {
    this.#run = run;
    this.#cursor = null;
    for (const chart of this.#charts) chart.domain = null;
  }

  /** Signs and names stay; their values follow the steps and the cursor. */
  #showLegend(chart: Shown, theme: Theme): void {
    const { definition, figure } = chart;
    const items = legendValues(definition, this.#curves, this.#strings, this.#cursor);
    const key = JSON.stringify([items.map(({ index }) => index), theme.foreground]);
    if (key !== chart.legendKey) {
      chart.legendKey = key;
      figure.legend.replaceChildren(
        ...items.map(({ index, name }) =>
          h('span', {}, lineSwatch(theme.foreground, DASHES[index] ?? DASHES[0]), name, h('output')),
        ),
      );
    }
    items.forEach(({ value }, order) => {
      setText(figure.legend.children[order]!.querySelector('output')!, value);
    });
  }

  #point(step: number | null): void {
    const known = step !== null && this.#curves.some(({ steps }) => steps.step.includes(step)) ? step : null;
    if (known === this.#cursor) return;
    this.#cursor = known;
    for (const chart of this.#charts) {
      chart.figure.setRows('cursor', known === null ? [] : [{ step: known }]);
      chart.figure.setReadout(readout(chart.definition, this.#curves, this.#strings, known));
      this.#showLegend(chart, this.#theme);
      this.#say(chart);
    }
  }

  #move(step: -1 | 1 | 'first' | 'last'): void {
    const steps = this.#curves[0]?.steps.step ?? [];
    if (steps.length === 0) return;
    const present = this.#cursor === null ? steps.length - 1 : steps.indexOf(this.#cursor);
    const next = step === 'first' ? 0 : step === 'last' ? steps.length - 1 : present + step;
    this.#point(steps[Math.min(Math.max(next, 0), steps.length - 1)]!);
  }

  #say({ definition, figure }: Shown): void {
    const steps = this.#curves[0]?.steps.step ?? [];
    const last = steps.at(-1) ?? 0;
    const text = spokenValues(definition, this.#curves, this.#strings, this.#cursor);
    figure.setPosition(this.#cursor ?? last, steps[0] ?? 0, last, text);
  }
}

/** The quantity drawn, with the numbers that belong to it. */
function aboutOf(id: ChartId, strings: TrainingStrings, rules: readonly Row[], run?: RunCurves): string {
  if (id === 'stepSize' && run && !run.cayley) return strings.uncapped;
  const clip = rules[0]?.value;
  if (typeof clip === 'number') return fill(strings.clip, formatNumber(clip, 2));
  return fill(strings.about[id], TREND_STEPS);
}
