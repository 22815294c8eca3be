import type { ChartSpec } from '../shared/chart-model.ts';
import type { AxisKind } from '../shared/domain.ts';
import { category, fittedSpec, valueAxis, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { type ChartDefinition, DASHES, MARKS, SHAPES } from './definitions.ts';

const HEIGHT = 150;

type SpecColors = Pick<Theme, 'runs' | 'danger' | 'muted' | 'foreground' | 'background' | 'highContrast'>;
type Encoding = Readonly<Record<'x' | 'y' | 'color', object>>;

/**
 * Lines over the steps. Data sets: `steps` {run, series, piece, step, value} of the run itself, `others` of the overlays,
 * `trend` of the loss, `ends` {run, series, step, value, label}, `rules` {value}, `gaps` {step}, `cursor` {step}. The
 * overlays are not evaluated again while the run goes on.
 * `brush` {from, to}; `step` is a place on the x axis.
 * Parameters: `xMin`, `xMax` (the last tick), `xEnd` (with room for letters), `xTicks`, `wordBefore` and `wordBehind` of
 * its last label, `yMin`, `yMax`, and `yTicks` of a log axis.
 */
export function trainingSpec(definition: ChartDefinition, kind: AxisKind, colors: SpecColors): ChartSpec {
  const encoding: Encoding = {
    x: xAxis('step', [{ expr: 'xMin' }, { expr: 'xEnd' }], {
      title: null,
      format: '~f',
      values: { expr: 'xTicks' },
      labelSeparation: 6,
      labelExpr: 'datum.value == xMax ? wordBefore + datum.label + wordBehind : datum.label',
    }),
    y: valueAxis(kind === 'log', kind === definition.axis ? definition.labels : '~g', 44),
    color: category('run', MARKS, colors.runs),
  };
  return fittedSpec(
    HEIGHT,
    {
      xMin: 0,
      xMax: 1,
      xEnd: 1,
      xTicks: [1],
      wordBefore: '',
      wordBehind: '',
      yTicks: [0.1, 1],
      yMin: 0.1,
      yMax: 1,
    },
    {
      layer: [
        ...groundLayers(encoding, colors),
        ...lineLayers(definition, encoding, colors),
        gapLayer(encoding, colors),
        ...endLayers(encoding, colors),
      ],
    },
  );
}

/** What lies under the lines. */
function groundLayers({ x, y }: Encoding, { muted }: SpecColors): object[] {
  return [
    {
      data: { name: 'rules' },
      mark: { type: 'rule', strokeDash: [2, 2], color: muted },
      encoding: { y },
    },
    {
      data: { name: 'brush' },
      mark: { type: 'rect', color: muted, opacity: 0.25 },
      encoding: { x: { ...x, field: 'from' }, x2: { field: 'to' } },
    },
    {
      data: { name: 'cursor' },
      mark: { type: 'rule', color: muted, opacity: 0.8 },
      encoding: { x },
    },
  ];
}

function gapLayer({ x }: Encoding, { danger }: SpecColors): object {
  return {
    data: { name: 'gaps' },
    mark: { type: 'point', shape: 'cross', clip: true, filled: true, angle: 45, size: 55, color: danger },
    encoding: { x, y: { value: HEIGHT - 7 } },
  };
}

function lineLayers(
  { id, series }: ChartDefinition,
  encoding: Encoding,
  { highContrast }: SpecColors,
): object[] {
  const names = series.map((line) => line.id);
  const strokeDash = category('series', names, DASHES.slice(0, names.length));
  // Under its bold mean, the loss of each batch steps back.
  const look = id === 'loss' ? { strokeWidth: 1, opacity: highContrast ? 0.8 : 0.45 } : {};
  const line = (name: string, style: object) => ({
    name,
    data: { name },
    // Gaps come as pieces: to ask of every point whether it is valid would cost a third of an update.
    mark: { type: 'line', invalid: null, clip: true, ...style },
    encoding: { ...encoding, strokeDash, detail: { field: 'piece' } },
  });
  const lines = [line('others', look), line('steps', look)];
  return id === 'loss' ? [...lines, line('trend', { strokeWidth: 2 })] : lines;
}

function endLayers(encoding: Encoding, { background, foreground }: SpecColors): object[] {
  const point = {
    type: 'point',
    filled: true,
    opacity: 1,
    size: 42,
    stroke: background,
    strokeWidth: 1,
  };
  const letter = {
    type: 'text',
    align: 'left',
    baseline: 'middle',
    dx: 6,
    fontWeight: 'bold',
    fill: foreground,
    // Lines that pass under a letter step back from it.
    stroke: background,
    strokeWidth: 4,
    strokeJoin: 'round',
  };
  const { x, y } = encoding;
  return [
    { data: { name: 'ends' }, mark: point, encoding: { ...encoding, shape: category('run', MARKS, SHAPES) } },
    { data: { name: 'ends' }, mark: letter, encoding: { x, y, text: { field: 'label' } } },
  ];
}
