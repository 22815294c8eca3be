/** Parts of the specs of a table's pictures. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import { category } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import type { Series } from './view.ts';

/** An axis between two parameters, with its ticks at a third: `xMin`, `xMax` and `xTicks`, or the same of y. */
export function measureAxis(side: 'x' | 'y', field: string, log: boolean, axis: object = {}): object {
  return {
    field,
    type: 'quantitative',
    scale: {
      type: log ? 'log' : 'linear',
      domain: [{ expr: `${side}Min` }, { expr: `${side}Max` }],
      nice: false,
      ...(!log && { zero: false }),
    },
    axis: {
      title: null,
      format: log ? '~g' : '~r',
      values: { expr: `${side}Ticks` },
      ...axis,
    },
  };
}

/** The text of a point beyond the axis, at the side of it where there is room. Data: {label, atLeft}. */
export function farLabels(x: object, y: object, theme: Theme): object[] {
  return [false, true].flatMap((atLeft) =>
    textLayers(
      {
        data: { name: 'far' },
        transform: [{ filter: `datum.atLeft === ${atLeft}` }],
        encoding: { x, y, text: { field: 'label' } },
      },
      { align: atLeft ? 'right' : 'left', dx: atLeft ? -8 : 8, baseline: 'middle', fill: theme.foreground },
      theme,
    ),
  );
}

/** A text over its own outline in the colour of the background: no line behind it strikes it out. */
export function textLayers(layer: object, look: object, { background }: Theme): object[] {
  const outline = { fill: background, stroke: background, strokeWidth: 6 };
  return [{ ...look, ...outline }, look].map((mark) => ({ ...layer, mark: { type: 'text', ...mark } }));
}

/** Behind this share of the width, a text has no room at the right of its point. */
const LAST_WITH_ROOM = 0.8;

/** What {@link farLabels} reads. @param share of the width. */
export function farLabel(text: string, share: number) {
  return { label: `↑ ${text}`, atLeft: share > LAST_WITH_ROOM };
}

/** What is drawn, with a word on the arrows where there are some. */
export function aboutWithArrows(about: string, band: number, { beyond }: MatrixStrings): string {
  return band === 0 ? about : fill(beyond, about);
}

/** A file has its legend inside, one row below the other: names are long. */
const LEGEND = {
  orient: 'bottom',
  direction: 'vertical',
  columns: 2,
  title: null,
  labelLimit: 340,
  symbolOpacity: 1,
};

/** The channels that tell rows apart. @param standalone with a legend. */
export function seriesChannels(series: readonly Series[], background: string, standalone: boolean) {
  const names = series.map(({ name }) => name);
  const by = (range: readonly (string | readonly number[])[]) => ({
    ...category('series', names, range),
    ...(standalone && { legend: LEGEND }),
  });
  return {
    color: by(series.map(({ color }) => color)),
    fill: by(series.map(({ color, filled }) => (filled ? color : background))),
    shape: by(series.map(({ shape }) => shape)),
    strokeDash: by(series.map(({ dash }) => dash)),
  };
}
