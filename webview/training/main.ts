import type { TrainingIntent, TrainingState } from '../../src/protocol/panels/training.ts';
import { Bridge } from '../shared/bridge.ts';
import { startPage } from '../shared/page.ts';
import { type FigureToggles, TrainingFigures } from './figures.ts';
import { TrainingHead } from './head.ts';
import { mergeCurves } from './merge.ts';
import { Overlays } from './overlays.ts';
import { RoundingFigure, type RoundingToggles } from './rounding-figure.ts';
import { type CurveView, WHOLE } from './view.ts';
import './training.css';

interface Toggles extends FigureToggles {
  readonly rounding: RoundingToggles;
  readonly x: CurveView['x'];
}

const bridge = new Bridge<TrainingState, TrainingIntent, Toggles>(
  { tables: [], logLoss: false, hiddenLines: [], rounding: { asTable: false, linear: null }, x: 'step' },
  mergeCurves,
);
/** Runs that are hidden, and the part of the axis, are those of the moment. */
let view: CurveView = { ...WHOLE, x: bridge.toggles.x };

const page = startPage(bridge, {
  hasContent: ({ run }: TrainingState) => run !== null,
  build({ strings }) {
    const send = (intent: TrainingIntent) => bridge.send(intent);
    const redraw = () => page.redraw();
    const look = (change: Partial<CurveView>) => {
      view = { ...view, ...change };
      bridge.keep({ x: view.x });
      redraw();
    };
    const head = new TrainingHead(strings, send);
    const overlays = new Overlays(strings, send, look);
    const figures = new TrainingFigures(strings, {
      get toggles() {
        return bridge.toggles;
      },
      keep(change) {
        bridge.keep(change);
        redraw();
      },
      zoom: (zoom) => look({ zoom }),
      out: send,
    });
    const keepRounding = (toggles: RoundingToggles) => bridge.keep({ rounding: toggles });
    const rounding = new RoundingFigure(strings, bridge.toggles.rounding, {
      keep: keepRounding,
      redraw,
      out: send,
    });
    figures.element.append(rounding.element);
    const elements = [head.element, overlays.element, figures.element];
    return { head, overlays, figures, rounding, elements };
  },
  show({ head, overlays, figures, rounding }, state, theme) {
    if (!state.run) return;
    const hasSteps = state.curves.some(({ steps }) => steps.step.length > 0);
    const learns = state.run.learns || hasSteps;
    const present = { ...view, logLoss: bridge.toggles.logLoss };
    head.show(state.run, state.strings);
    overlays.element.hidden = !learns;
    overlays.show(state, theme, present);
    figures.show(state, theme, learns, present);
    rounding.show(state, theme);
  },
});
