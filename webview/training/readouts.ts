/** The charts in words and tables. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves, StepColumns } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { TableModel } from '../shared/chart-model.ts';
import { formatNumber, formatSeconds } from '../shared/format.ts';
import type { ChartDefinition, ColumnName } from './definitions.ts';
import { placesOf, rowAt, type XAxis } from './view.ts';

/** A series that has no value at all is not learned: it gets no line, no legend and no column. */
export function isUsed(steps: StepColumns, column: ColumnName): boolean {
  return column === 'loss' || steps[column].some((value) => value !== null);
}

/** A place on the x axis at which values are read. */
export interface Cursor {
  readonly place: number;
  readonly axis: Pick<XAxis, 'secondsOf' | 'words'>;
}

/** The value of the last step, or of all runs at the cursor. */
export function readout(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  cursor: Cursor | null,
): string {
  const [own] = curves;
  if (!own || own.steps.step.length === 0) return '';
  const at = cursor === null ? '' : placeText(own, cursor, strings);
  if (definition.series.length > 1) return at;
  const { column } = definition.series[0]!;
  const shown = cursor === null ? [own] : curves;
  const parts = shown.map((curve) => {
    const text = said(valueAt(curve, column, cursor), definition, strings);
    return shown.length > 1 ? `${curve.mark} ${text}` : text;
  });
  return `${at === '' ? '' : `${at}: `}${parts.join(' · ')}${unitOf(definition, own, strings)}`;
}

/** `step 41`, or `step 41, 2.3 min` where time is the axis. */
function placeText(own: RunCurves, cursor: Cursor, strings: TrainingStrings): string {
  const { place, axis } = cursor;
  const time = axis.secondsOf === null ? '' : `${formatNumber(place, 3)}${axis.words[1]}`;
  const row = rowAt(placesOf(own, axis), place);
  // Of a run at work, others may have more steps.
  const step = row < 0 ? (axis.secondsOf === null ? Math.round(place) : null) : own.steps.step[row]!;
  const parts = [...(step === null ? [] : [fill(strings.atStep, step)]), ...(time === '' ? [] : [time])];
  return parts.join(', ');
}

/** The values of each line of the run itself, for a legend; empty for charts of one line. */
export function legendValues(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  cursor: Cursor | null,
): { readonly index: number; readonly name: string; readonly value: string }[] {
  const [own] = curves;
  if (!own || definition.series.length === 1) return [];
  return definition.series.flatMap(({ id, column }, index) =>
    isUsed(own.steps, column)
      ? [
          {
            index,
            name: seriesName(id, strings),
            value: said(valueAt(own, column, cursor), definition, strings),
          },
        ]
      : [],
  );
}

/** All values at the cursor in one sentence, for those who do not see the chart. */
export function spokenValues(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  cursor: Cursor | null,
): string {
  const step = curves[0]?.steps.step.at(-1);
  if (cursor === null && step === undefined) return strings.noSteps;
  const at = cursor ?? { place: step!, axis: { secondsOf: null, words: ['', ''] as const } };
  const lines = legendValues(definition, curves, strings, at).map(({ name, value }) => `${name} ${value}`);
  return [readout(definition, curves, strings, at), ...lines].join(' · ');
}

/** Undefined where the run has no such step. */
function valueAt(curve: RunCurves, column: ColumnName, cursor: Cursor | null): number | null | undefined {
  if (cursor === null) return curve.steps[column].at(-1);
  const row = rowAt(placesOf(curve, cursor.axis), cursor.place);
  return row < 0 ? undefined : curve.steps[column][row];
}

function said(value: number | null | undefined, { id }: ChartDefinition, strings: TrainingStrings): string {
  if (value === undefined) return '–';
  if (value === null) return strings.noValue;
  return id === 'seconds' ? durationText(value) : formatNumber(value);
}

/** Steps on captured activations take a few milliseconds. */
function durationText(seconds: number): string {
  return seconds < 0.1 ? `${formatNumber(1000 * seconds, 2)} ms` : formatSeconds(seconds);
}

function seriesName(id: ChartDefinition['series'][number]['id'], strings: TrainingStrings): string {
  return id === 'value' ? '' : strings.series[id];
}

function unitOf({ id }: ChartDefinition, run: RunCurves | undefined, { units }: TrainingStrings): string {
  return id === 'loss' && run ? ` ${units[run.objective]}` : '';
}

/** The loss of cross-entropy is what everybody calls so. */
export function titleOf({ id, objective }: ChartDefinition, { charts }: TrainingStrings): string {
  return objective === undefined || objective === 'cross-entropy'
    ? charts[id]
    : `${charts[id]}: ${objective}`;
}

export function summary(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
): string {
  const title = titleOf(definition, strings);
  const [own] = curves;
  const last = own?.steps.step.at(-1);
  if (!own || last === undefined) return `${title}. ${strings.noSteps}`;
  const column = own.steps[definition.series[0]!.column];
  const first = said(column[0], definition, strings);
  const now = said(column.at(-1), definition, strings);
  return `${fill(strings.summary, title, first, own.steps.step[0]!, now, last)} ${strings.chartHelp}`;
}

/** One row per step, one column per run and line. @param exact all digits of each number. */
export function trainingTable(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  exact = false,
): TableModel {
  const title = titleOf(definition, strings);
  const steps = [...new Set(curves.flatMap((curve) => curve.steps.step))].sort((a, b) => a - b);
  const lines = curves.flatMap((curve) => {
    const indices = new Map(curve.steps.step.map((step, index) => [step, index]));
    const run = curves.length > 1 ? `${curve.mark} ` : '';
    return definition.series
      .filter(({ column }) => isUsed(curve.steps, column))
      .map(({ id, column }) => ({
        title: `${run}${seriesName(id, strings) || title}`,
        text: (step: number): string => {
          const index = indices.get(step);
          const value = index === undefined ? undefined : curve.steps[column][index];
          return exact ? String(value ?? '') : said(value, definition, strings);
        },
      }));
  });
  const unit = unitOf(definition, curves[0], strings);
  return {
    caption: unit === '' ? title : `${title},${unit}`,
    columns: [
      { title: strings.step, numeric: true },
      ...lines.map((line) => ({ title: line.title, numeric: true })),
    ],
    rows: steps.map((step) => [String(step), ...lines.map(({ text }) => text(step))]),
  };
}
