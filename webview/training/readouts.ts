/** The charts in words and tables. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { RunCurves, StepColumns } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { TableModel } from '../shared/chart-model.ts';
import { formatNumber, formatSeconds } from '../shared/format.ts';
import type { ChartDefinition, ColumnName } from './definitions.ts';

/** A series that has no value at all is not learned: it gets no line, no legend and no column. */
export function isUsed(steps: StepColumns, column: ColumnName): boolean {
  return column === 'loss' || steps[column].some((value) => value !== null);
}

/** The value beside the title: of the last step, or of all runs at the step under the cursor. */
export function readout(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  cursor: number | null,
): string {
  const [own] = curves;
  if (!own || own.steps.step.length === 0) return '';
  const at = cursor === null ? '' : fill(strings.atStep, cursor);
  if (definition.series.length > 1) return at;
  const { column } = definition.series[0]!;
  const shown = cursor === null ? [own] : curves;
  const parts = shown.map((curve) => {
    const text = said(valueAt(curve, column, cursor), definition, strings);
    return shown.length > 1 ? `${curve.mark} ${text}` : text;
  });
  const unit = shown.length > 1 ? '' : unitOf(definition, own, strings);
  return `${at === '' ? '' : `${at}: `}${parts.join(' · ')}${unit}`;
}

/** The values of each line of the run itself, for a legend; empty for charts of one line. */
export function legendValues(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
  cursor: number | null,
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
  cursor: number | null,
): string {
  const step = cursor ?? curves[0]?.steps.step.at(-1);
  if (step === undefined) return strings.noSteps;
  const lines = legendValues(definition, curves, strings, step).map(({ name, value }) => `${name} ${value}`);
  return [readout(definition, curves, strings, step), ...lines].join(' · ');
}

/** Undefined where the run has no such step. */
function valueAt({ steps }: RunCurves, column: ColumnName, cursor: number | null): number | null | undefined {
  if (cursor === null) return steps[column].at(-1);
  const index = steps.step.indexOf(cursor);
  return index < 0 ? undefined : steps[column][index];
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
  return id === 'loss' && run?.lossInNats ? ` ${units.loss}` : '';
}

export function summary(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
): string {
  const title = strings.charts[definition.id];
  const [own] = curves;
  const last = own?.steps.step.at(-1);
  if (!own || last === undefined) return `${title}. ${strings.noSteps}`;
  const column = own.steps[definition.series[0]!.column];
  const first = said(column[0], definition, strings);
  const now = said(column.at(-1), definition, strings);
  return `${fill(strings.summary, title, first, own.steps.step[0]!, now, last)} ${strings.chartHelp}`;
}

/** One row per step, one column per run and line. */
export function trainingTable(
  definition: ChartDefinition,
  curves: readonly RunCurves[],
  strings: TrainingStrings,
): TableModel {
  const title = strings.charts[definition.id];
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
          return said(index === undefined ? undefined : curve.steps[column][index], definition, strings);
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
