import type { Theme } from '../shared/theme.ts';

/** Width of the axis' labels and of the legend's title beside its gradient. */
const LEGEND_TITLE_PX = 130;

/** The gradient of a chart whose cells are the darker, the more. */
export function colorLegend(title: string, theme: Theme): object {
  return {
    title,
    orient: 'top',
    direction: 'horizontal',
    gradientLength: { expr: `clamp(width - ${LEGEND_TITLE_PX}, 60, 180)` },
    gradientThickness: 8,
    gradientStrokeColor: theme.muted,
    gradientStrokeWidth: 1,
    labelColor: theme.muted,
    titleColor: theme.muted,
    titleFontWeight: 'normal',
    titleFontSize: 11,
    labelFontSize: 11,
    titleOrient: 'left',
    tickCount: 4,
    format: '~g',
    offset: 6,
  };
}
