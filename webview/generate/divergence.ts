/** KL divergence along the text: a line for each run, and the table of all numbers of all tokens. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { GenerateColumn, GenerateState } from '../../src/protocol/panels/generate.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { stableDomain, stepTicks } from '../shared/domain.ts';
import { formatNumber } from '../shared/format.ts';
import { category, fittedSpec, valueAxis, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { formatDifference, formatLog, quoted } from './difference.ts';
import { DASHES, LETTERS } from './marks.ts';

const HEIGHT = 160;

/**
 * Data sets: `points` {run, token, value}, `cursor` {token}. Parameters: `xMax`, `xEnd`, `xTicks`, `tokenWord`, `yMin`,
 * `yMax`.
 */
export function divergenceSpec(theme: Theme): ChartSpec {
  const x = xAxis('token', [1, { expr: 'xEnd' }], {
    title: null,
    format: 'd',
    values: { expr: 'xTicks' },
    labelExpr: "datum.value == xMax ? tokenWord + ' ' + datum.label : datum.label",
  });
  const color = category('run', LETTERS, theme.runs.slice(0, LETTERS.length));
  return fittedSpec(
    HEIGHT,
    { xMax: 1, xEnd: 2, xTicks: [1], tokenWord: '', yMin: 0, yMax: 1 },
    {
      layer: [
        { data: { name: 'cursor' }, mark: { type: 'rule', color: theme.muted }, encoding: { x } },
        {
          data: { name: 'points' },
          mark: { type: 'line', invalid: null },
          encoding: { x, y: valueAxis(false, '~g', 44), color, strokeDash: category('run', LETTERS, DASHES) },
        },
      ],
    },
  );
}

const runsOf = ({ columns }: GenerateState): readonly GenerateColumn[] => columns.slice(1);

export function divergenceChart(state: GenerateState, theme: Theme, at: number | null): ChartModel {
  const { strings, tokens } = state;
  const rows = runsOf(state).flatMap(({ judged }, place) =>
    judged.map(
      ({ divergence }, token): Row => ({ run: LETTERS[place]!, token: token + 1, value: divergence }),
    ),
  );
  const domain = stableDomain(
    rows.map(({ value }) => value as number),
    null,
    'from-zero',
  );
  const last = Math.max(tokens.length, 1);
  return {
    spec: divergenceSpec(theme),
    data: { points: rows, cursor: at === null ? [] : [{ token: at + 1 }] },
    signals: {
      xMax: last,
      xEnd: Math.max(last, 2),
      xTicks: stepTicks(last),
      tokenWord: strings.tokenAxis,
      yMin: domain[0],
      yMax: domain[1],
    },
    summary: summaryOf(state),
    readout: at === null ? '' : divergenceAt(state, at),
    note: '',
  };
}

function summaryOf(state: GenerateState): string {
  const { strings, tokens } = state;
  const means = runsOf(state).map(
    ({ name, summary }) => `${name} ${formatNumber(summary?.meanDivergence ?? null, 3)}`,
  );
  const summary = fill(strings.divergenceSummary, strings.divergence, tokens.length, means.join(', '));
  return `${summary} ${strings.stepHelp}`;
}

/** All runs at one token: `token 12 “ there”: A 0.12 · B 0.5`. */
export function divergenceAt(state: GenerateState, at: number): string {
  const { strings, tokens } = state;
  const values = runsOf(state).map(
    ({ judged }, place) => `${LETTERS[place]} ${formatNumber(judged[at]?.divergence ?? null, 3)}`,
  );
  const name = fill(strings.token, at + 1);
  return fill(strings.divergenceAt, name, quoted(tokens[at]?.text ?? ''), values.join(' · '));
}

/** What the colours tell, in numbers. */
export function divergenceTable(state: GenerateState): TableModel {
  const { strings, tokens } = state;
  const runs = runsOf(state);
  const number = (title: string) => ({ title, numeric: true });
  return {
    caption: strings.divergence,
    columns: [
      number(strings.tokenNumber),
      { title: strings.tokenAxis, numeric: false },
      number(fill(strings.logProbabilityAt, strings.fullPrecision)),
      ...runs.flatMap((_, place) => [
        number(fill(strings.differenceAt, LETTERS[place]!)),
        number(fill(strings.divergenceOf, LETTERS[place]!)),
      ]),
    ],
    rows: tokens.map(({ text, logProbability }, token) => [
      String(token + 1),
      quoted(text),
      formatLog(logProbability),
      ...runs.flatMap(({ judged }) => {
        const one = judged[token];
        if (!one) return ['–', '–'];
        return [formatDifference(one.logProbability - logProbability), formatNumber(one.divergence, 3)];
      }),
    ]),
  };
}
