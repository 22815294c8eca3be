import type { TrainingIntent, TrainingState } from '../../src/protocol/panels/training.ts';
import { Bridge } from '../shared/bridge.ts';
import { emptyState } from '../shared/controls.ts';
import { onThemeChange, readTheme } from '../shared/theme.ts';
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

/** The parts of the page, made with the first state that has a run: their texts come with it. */
interface Parts {
  readonly head: TrainingHead;
  readonly overlays: Overlays;
  readonly figures: TrainingFigures;
  readonly rounding: RoundingFigure;
}

const bridge = new Bridge<TrainingState, TrainingIntent, Toggles>({
  tables: [],
  rounding: { asTable: false, linear: null },
});
const root = document.getElementById('root')!;
let theme = readTheme();
let last: TrainingState | null = null;
let parts: Parts | null = null;

function show(state: TrainingState): void {
  last = state;
  root.removeAttribute('aria-busy');
  if (!state.run) {
    parts = null;
    root.replaceChildren(emptyState(state.strings.empty, (what) => bridge.send({ type: 'begin', what })));
    return;
  }
  parts ??= build(state);
  parts.head.show(state.run, state.strings);
  parts.overlays.show(state, theme);
  parts.figures.show(
    state,
    theme,
    state.run.learns || state.curves.some(({ steps }) => steps.step.length > 0),
  );
  parts.rounding.show(state, theme);
}

function build({ strings }: TrainingState): Parts {
  const send = (intent: TrainingIntent) => bridge.send(intent);
  const head = new TrainingHead(strings, send);
  const overlays = new Overlays(strings, send);
  const keep = (tables: readonly ChartId[]) => bridge.keep({ tables });
  const figures = new TrainingFigures(strings, bridge.toggles.tables, keep, redraw);
  const keepRounding = (toggles: RoundingToggles) => bridge.keep({ rounding: toggles });
  const rounding = new RoundingFigure(strings, bridge.toggles.rounding, keepRounding, redraw);
  figures.element.append(rounding.element);
  root.replaceChildren(head.element, overlays.element, figures.element);
  return { head, overlays, figures, rounding };
}

function redraw(): void {
  if (last) show(last);
}

onThemeChange((next) => {
  theme = next;
  redraw();
});
bridge.listen(show, { type: 'ready' });
