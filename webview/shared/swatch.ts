import { fill } from '../../src/protocol/panels/fill.ts';
import { button, h, svg } from './dom.ts';
import { MUTED_DASHES, SOLID } from './layers-spec.ts';
import { beforeColor, type Theme } from './theme.ts';

/** Outlines on a field of 12 × 12, the same shapes that vega draws. */
const OUTLINES: Readonly<Record<string, string>> = {
  circle: 'M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8Z',
  square: 'M2.5 2.5h7v7h-7Z',
  'triangle-up': 'M6 2l4.5 8h-9Z',
  diamond: 'M6 1l5 5l-5 5l-5-5Z',
  cross: 'M4.3 1.5h3.4v2.8h2.8v3.4h-2.8v2.8h-3.4v-2.8h-2.8v-3.4h2.8Z',
  'triangle-down': 'M1.5 2h9l-4.5 8Z',
};

/** The sign of a series: its line with its dashes, or its shape, in its colour. */
export function lineSwatch(color: string, dash: readonly number[]): SVGElement {
  return svg(
    'svg',
    { class: 'swatch', width: 26, height: 12, 'aria-hidden': 'true' },
    svg('line', {
      x1: 1,
      x2: 25,
      y1: 6,
      y2: 6,
      stroke: color,
      'stroke-width': 2,
      'stroke-dasharray': dash.join(' '),
    }),
  );
}

export function shapeSwatch(color: string, shape: string, filled = true): SVGElement {
  return svg(
    'svg',
    { class: 'swatch', width: 12, height: 12, 'aria-hidden': 'true' },
    svg('path', {
      d: OUTLINES[shape] ?? OUTLINES.circle,
      fill: filled ? color : 'none',
      stroke: color,
      'stroke-width': 1.5,
    }),
  );
}

/** Lets the signs of a legend hide their lines. */
export interface LegendToggles {
  readonly hidden: readonly string[];
  readonly label: string;
  toggle(name: string): void;
}

/** The signs of both lines of a chart over the layers with their names, and room for a value. */
export function layersLegend(
  theme: Theme,
  [muted, accent]: readonly [string, string],
  toggles?: LegendToggles,
): HTMLElement[] {
  const signs: readonly (readonly [name: string, ...signs: SVGElement[]])[] = [
    [muted, lineSwatch(beforeColor(theme), MUTED_DASHES), shapeSwatch(beforeColor(theme), 'circle', false)],
    [accent, lineSwatch(theme.accent, SOLID), shapeSwatch(theme.accent, 'square')],
  ];
  return signs.map(([name, ...drawn]) => {
    if (!toggles) return h('span', {}, ...drawn, name, h('output'));
    const toggle = button('', () => toggles.toggle(name), {
      class: 'toggle',
      'aria-pressed': String(!toggles.hidden.includes(name)),
      'aria-label': fill(toggles.label, name),
    });
    toggle.append(...drawn, name);
    return h('span', {}, toggle, h('output'));
  });
}
