import type { GenerateIntent, GenerateState } from '../../src/protocol/panels/generate.ts';
import { Bridge } from '../shared/bridge.ts';
import { h, setHidden } from '../shared/dom.ts';
import { startPage } from '../shared/page.ts';
import { Columns } from './columns.ts';
import { DivergenceFigure } from './figure.ts';
import { GenerateHead } from './head.ts';
import { legendElement } from './legend.ts';
import type { GenerateToggles } from './toggles.ts';
import './generate.css';

const bridge = new Bridge<GenerateState, GenerateIntent, GenerateToggles>({ draft: null, asTable: false });
/** The token under the pointer, or that the arrow keys chose. */
let at: number | null = null;

const page = startPage(bridge, {
  hasContent: ({ hasRuns }: GenerateState) => hasRuns,
  build(first) {
    const { strings } = first;
    const head = new GenerateHead(first, bridge);
    const legend = legendElement(strings);
    const columns = new Columns(point);
    const figure = new DivergenceFigure(strings, {
      asTable: bridge.toggles.asTable,
      keep: (asTable) => {
        bridge.keep({ asTable });
        page.redraw();
      },
      point,
    });
    const nothing = h('p', { class: 'quiet' }, strings.nothingYet);
    const figures = h('div', { class: 'figures' }, figure.element);
    const elements = [head.element, nothing, legend, columns.element, figures];
    return { head, legend, columns, figure, figures, nothing, elements };
  },
  show({ head, legend, columns, figure, figures, nothing }, state, theme) {
    head.show(state);
    const isEmpty = state.columns.length === 0;
    setHidden(nothing, !isEmpty);
    setHidden(legend, isEmpty);
    setHidden(figures, isEmpty);
    if (at !== null && at >= state.tokens.length) at = null;
    columns.show(state, theme, at);
    if (!isEmpty) figure.show(state, theme, at);
  },
});

/** One token is looked at in all columns and in the chart. */
function point(token: number | null): void {
  if (token === at) return;
  at = token;
  page.redraw();
}
