import type { Objective, StepColumns } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { AxisKind } from '../shared/domain.ts';

export type ChartId = keyof TrainingStrings['charts'];
export type SeriesId = keyof TrainingStrings['series'] | 'value';
export type ColumnName = Exclude<keyof StepColumns, 'step'>;

/** The lines that one chart draws of every run. */
export interface ChartDefinition {
  readonly id: ChartId;
  /** Only runs with this objective are drawn; any if absent. */
  readonly objective?: Objective;
  readonly axis: AxisKind;
  /** Lines of one run; told apart by their dashes. */
  readonly series: readonly { readonly id: SeriesId; readonly column: ColumnName }[];
  /** The format of axis labels (d3-format). */
  readonly labels: string;
}

export const DEFINITIONS: readonly ChartDefinition[] = [
  { id: 'loss', axis: 'linear', series: [{ id: 'value', column: 'loss' }], labels: '~r' },
  { id: 'gradient', axis: 'from-zero', series: [{ id: 'value', column: 'gradientNorm' }], labels: '~r' },
  {
    id: 'stepSize',
    axis: 'log',
    series: [
      { id: 'rate', column: 'learningRate' },
      { id: 'capR1', column: 'stepCapR1' },
      { id: 'capR2', column: 'stepCapR2' },
    ],
    labels: '~g',
  },
  {
    id: 'distance',
    axis: 'from-zero',
    series: [
      { id: 'r1', column: 'distanceR1' },
      { id: 'r2', column: 'distanceR2' },
    ],
    labels: '~r',
  },
  { id: 'seconds', axis: 'from-zero', series: [{ id: 'value', column: 'seconds' }], labels: '~r' },
  {
    id: 'orthogonality',
    axis: 'log',
    series: [{ id: 'value', column: 'orthogonalityError' }],
    labels: '.0e',
  },
];

/** The chart of the loss of one objective. */
export function lossOf(objective: Objective): ChartDefinition {
  return { ...DEFINITIONS[0]!, objective };
}

/** Dashes of a run's first, second and third line; legends draw the same. */
export const DASHES = [
  [1, 0],
  [7, 3],
  [2, 3],
] as const;

/** Shapes at the ends of the lines of runs A, B, C …; legends draw the same. */
export const SHAPES: readonly string[] = [
  'circle',
  'square',
  'triangle-up',
  'diamond',
  'cross',
  'triangle-down',
];
export const MARKS: readonly string[] = ['A', 'B', 'C', 'D', 'E', 'F'];
