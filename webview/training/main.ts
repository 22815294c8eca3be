import type { TrainingIntent, TrainingState } from '../../src/protocol/panels/training.ts';
import { Bridge } from '../shared/bridge.ts';
import { startPage } from '../shared/page.ts';
import type { ChartId } from './definitions.ts';
import { TrainingFigures } from './figures.ts';
import { TrainingHead } from './head.ts';
import { Overlays } from './overlays.ts';
import { RoundingFigure, type RoundingToggles } from './rounding-figure.ts';
import './training.css';

interface Toggles {
  readonly tables: readonly ChartId[];
  readonly rounding: RoundingToggles;
}

const bridge = new Bridge<TrainingState, TrainingIntent, Toggles>({
  tables: [],
  rounding: { asTable: false, linear: null },
});

const page = startPage(bridge, {
  hasContent: ({ run }: TrainingState) => run !== null,
  build({ strings }) {
    const send = (intent: TrainingIntent) => bridge.send(intent);
    const redraw = () => page.redraw();
    const head = new TrainingHead(strings, send);
    const overlays = new Overlays(strings, send);
    const keep = (tables: readonly ChartId[]) => bridge.keep({ tables });
    const figures = new TrainingFigures(strings, bridge.toggles.tables, keep, redraw);
    const keepRounding = (toggles: RoundingToggles) => bridge.keep({ rounding: toggles });
    const rounding = new RoundingFigure(strings, bridge.toggles.rounding, keepRounding, redraw);
    figures.element.append(rounding.element);
    const elements = [head.element, overlays.element, figures.element];
    return { head, overlays, figures, rounding, elements };
  },
  show({ head, overlays, figures, rounding }, state, theme) {
    if (!state.run) return;
    const hasSteps = state.curves.some(({ steps }) => steps.step.length > 0);
    head.show(state.run, state.strings);
    overlays.show(state, theme);
    figures.show(state, theme, state.run.learns || hasSteps);
    rounding.show(state, theme);
  },
});
