import type { Config } from 'vega-lite';
import type { Theme } from './theme.ts';

/** Smaller than the page's text: axes are read when needed. */
const AXIS_SCALE = 0.85;

/** The look of all charts, from the editor's theme. */
export function vegaConfig(theme: Theme): Config {
  const { foreground, muted, grid, font, fontSizePx, accent, highContrast } = theme;
  const size = Math.round(fontSizePx * AXIS_SCALE);
  return {
    background: 'transparent',
    font,
    // The element around the chart describes it; single marks would only be noise.
    aria: false,
    padding: { left: 2, right: 2, top: 4, bottom: 2 },
    view: { stroke: 'transparent' },
    axis: {
      labelColor: muted,
      titleColor: muted,
      labelFontSize: size,
      titleFontSize: size,
      titleFontWeight: 'normal',
      domainColor: grid,
      domainOpacity: highContrast ? 1 : 0.6,
      tickColor: grid,
      tickOpacity: highContrast ? 1 : 0.6,
      tickSize: 4,
      gridColor: grid,
      gridOpacity: highContrast ? 0.35 : 0.18,
      labelPadding: 4,
      titlePadding: 6,
    },
    axisX: { grid: false, labelFlush: true, labelOverlap: true },
    axisY: { domain: false, ticks: false },
    line: { strokeWidth: highContrast ? 2.5 : 1.75, color: accent, strokeJoin: 'round' },
    rule: { color: muted },
    text: { color: foreground, fontSize: size, font },
    // Only pictures that leave the panel have these inside.
    legend: { labelFont: font, titleFont: font, labelColor: foreground, labelFontSize: size },
    title: {
      font,
      color: foreground,
      fontSize: Math.round(1.15 * fontSizePx),
      subtitleFont: font,
      subtitleColor: muted,
      subtitleFontSize: size,
    },
  };
}
