import type { LayersIntent, LayersState } from '../../src/protocol/panels/layers.ts';
import { Bridge } from '../shared/bridge.ts';
import { emptyState, ProblemBox } from '../shared/controls.ts';
import { onThemeChange, readTheme } from '../shared/theme.ts';
import { LayersFigures, type LayersToggles } from './figures.ts';
import { LayersHead } from './head.ts';
import './layers.css';

interface Parts {
  readonly head: LayersHead;
  readonly figures: LayersFigures;
}

const bridge = new Bridge<LayersState, LayersIntent, LayersToggles>({
  tables: [],
  logCounts: true,
  sorted: false,
});
const root = document.getElementById('root')!;
let theme = readTheme();
let last: LayersState | null = null;
let parts: Parts | null = null;
/** Asked for, but not come yet: keys that are pressed fast go on from here. */
let wanted: number | null = null;

function show(state: LayersState): void {
  last = state;
  wanted = null;
  root.removeAttribute('aria-busy');
  if (!state.run || !state.detail) {
    parts = null;
    const problem = new ProblemBox();
    problem.show(state.problem);
    const empty = emptyState(state.strings.empty, (what) => bridge.send({ type: 'begin', what }));
    root.replaceChildren(problem.element, ...(state.problem ? [] : [empty]));
    return;
  }
  parts ??= build(state);
  parts.head.show(state);
  parts.figures.show(state, theme);
}

function build({ strings }: LayersState): Parts {
  const head = new LayersHead(strings, (intent) => bridge.send(intent), {
    by: (step) => chooseLayer(present() + step),
    to: chooseLayer,
  });
  const figures = new LayersFigures(strings, {
    keep: (change) => bridge.keep(change),
    get toggles() {
      return bridge.toggles;
    },
    get layer() {
      return present();
    },
    redraw,
    chooseLayer,
  });
  root.replaceChildren(head.element, figures.element);
  return { head, figures };
}

function present(): number {
  return wanted ?? last?.detail?.layer ?? 0;
}

function chooseLayer(layer: number): void {
  if (!last || layer < 0 || layer >= last.layers || layer === wanted) return;
  wanted = layer;
  bridge.send({ type: 'layer', layer });
}

function redraw(): void {
  if (last) show(last);
}

onThemeChange((next) => {
  theme = next;
  redraw();
});
bridge.listen(show, { type: 'ready' });
