import type { Site } from '../../src/protocol/block.ts';
import type { LayersIntent, LayersState } from '../../src/protocol/panels/layers.ts';
import { Bridge } from '../shared/bridge.ts';
import { h, setHidden } from '../shared/dom.ts';
import { startPage } from '../shared/page.ts';
import { AttributionSection, type AttributionToggles } from './attribution.ts';
import { LayersFigures, type LayersToggles } from './figures.ts';
import { LayersHead, showStats } from './head.ts';
import './layers.css';

const bridge = new Bridge<LayersState, LayersIntent, LayersToggles & AttributionToggles>({
  tables: [],
  logCounts: true,
  sorted: false,
  hidden: [],
  measure: 'sqnr-after',
  attributionTables: [],
  lossMeasure: 'rise',
});
/** Asked for, but not come yet: keys that are pressed fast go on from here. */
let wanted: number | null = null;

const page = startPage(bridge, {
  hasContent: ({ run, detail, attribution }: LayersState) =>
    run !== null && (detail !== null || attribution !== null),
  build({ strings }) {
    const head = new LayersHead(strings, (intent) => bridge.send(intent), {
      by: (step) => chooseLayer(present() + step),
      to: chooseLayer,
    });
    const wishes = {
      keep: (change: Partial<LayersToggles & AttributionToggles>) => bridge.keep(change),
      get toggles() {
        return bridge.toggles;
      },
      get layer() {
        return present();
      },
      redraw: () => page.redraw(),
      chooseLayer,
      choosePlace,
      out: (intent: Parameters<typeof bridge.send>[0]) => bridge.send(intent),
      send: (intent: LayersIntent) => bridge.send(intent),
    };
    const figures = new LayersFigures(strings, wishes);
    const other = {
      figures: new LayersFigures(strings, wishes, 'other-'),
      title: h('h2', { id: 'other-title' }),
      own: h('h2', { id: 'own-title' }),
      ownStats: h('dl', { class: 'stats' }),
      stats: h('dl', { class: 'stats' }),
      missing: h('p', { class: 'quiet' }, strings.notThere),
    };
    const side = h(
      'section',
      { class: 'side', 'aria-labelledby': 'other-title' },
      ...[other.title, other.stats, other.missing, other.figures.element],
    );
    const sides = h(
      'div',
      { class: 'sides' },
      h('div', { class: 'side' }, other.own, other.ownStats, figures.element),
      side,
    );
    const attribution = new AttributionSection(strings, wishes);
    const elements = [head.element, sides, attribution.element];
    return { head, figures, other, side, sides, attribution, elements };
  },
  show({ head, figures, other, side, sides, attribution }, state, theme) {
    wanted = null;
    head.show(state);
    attribution.show(state, theme);
    setHidden(sides, state.detail === null);
    const beside = state.other;
    sides.classList.toggle('two', beside !== null);
    setHidden(side, beside === null);
    setHidden(other.own, beside === null);
    setHidden(other.ownStats, beside === null);
    head.showStats(beside === null && state.detail !== null);
    figures.show(state, theme, beside);
    if (beside === null) return;
    other.own.textContent = state.run?.title ?? '';
    if (state.detail) showStats(other.ownStats, state.detail, state.strings);
    other.title.textContent = beside.run.title;
    setHidden(other.missing, beside.detail !== null);
    setHidden(other.figures.element, beside.detail === null);
    setHidden(other.stats, beside.detail === null);
    if (beside.detail === null) return;
    showStats(other.stats, beside.detail, state.strings);
    const { run, layers, depth, detail } = beside;
    other.figures.show({ ...state, run, layers, depth, detail }, theme, state);
  },
});

function present(): number {
  return wanted ?? page.state?.detail?.layer ?? 0;
}

function chooseLayer(layer: number): void {
  const { state } = page;
  if (!state || layer < 0 || layer >= state.layers || layer === wanted) return;
  wanted = layer;
  bridge.send({ type: 'layer', layer });
}

function choosePlace(layer: number, site: Site): void {
  const { state } = page;
  // Of a run without activation statistics there is nothing to go to.
  if (!state?.detail || layer < 0 || layer >= state.layers) return;
  wanted = layer;
  bridge.send({ type: 'place', layer, site });
}
