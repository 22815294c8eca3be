import type { LayersIntent, LayersState } from '../../src/protocol/panels/layers.ts';
import { Bridge } from '../shared/bridge.ts';
import { startPage } from '../shared/page.ts';
import { LayersFigures, type LayersToggles } from './figures.ts';
import { LayersHead } from './head.ts';
import './layers.css';

const bridge = new Bridge<LayersState, LayersIntent, LayersToggles>({
  tables: [],
  logCounts: true,
  sorted: false,
});
/** Asked for, but not come yet: keys that are pressed fast go on from here. */
let wanted: number | null = null;

const page = startPage(bridge, {
  hasContent: ({ run, detail }: LayersState) => run !== null && detail !== null,
  build({ strings }) {
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
      redraw: () => page.redraw(),
      chooseLayer,
    });
    return { head, figures, elements: [head.element, figures.element] };
  },
  show({ head, figures }, state, theme) {
    wanted = null;
    head.show(state);
    figures.show(state, theme);
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
