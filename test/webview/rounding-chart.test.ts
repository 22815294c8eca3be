import assert from 'node:assert/strict';
import test from 'node:test';
import { makeEvaluatedRun, makeRoundingRun } from '../../scripts/fixtures/make-runs.mts';
import type { RoundingErrors } from '../../src/protocol/panels/training.ts';
import { trainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { changeOf } from '../../webview/shared/chart-model.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import {
  type RoundingView,
  roundingChart,
  roundingReadout,
  roundingTable,
  roundingValues,
  spokenRounding,
} from '../../webview/training/rounding.ts';
import { compileWarnings } from './compile.ts';
import { runsFolder, trainingOf } from './states.ts';

const strings = trainingStrings((text) => text);
const theme = themeFrom(() => '', false);

/** Two of four layers of a block of two linear layers. */
const ROUNDING: RoundingErrors = {
  method: 'GPTQ',
  layers: 4,
  layer: [0, 1],
  linears: [
    { name: 'q', nearest: [0.04, 0.02], error: [0.01, 0.005] },
    { name: 'down', nearest: [0.06, 0.02], error: [0.03, 0.015] },
  ],
};
const viewOf = (linear: string | null, rounding = ROUNDING): RoundingView => ({ rounding, linear, strings });
const chart = (view: RoundingView) => roundingChart(view, theme, null).model;

test('both errors by layer, in percent: the mean of all linear layers, or one', () => {
  const values = (linear: string | null) =>
    chart(viewOf(linear)).data.points!.map(({ layer, side, value }) => [
      layer,
      side,
      Number((value as number).toFixed(9)),
    ]);
  assert.deepEqual(values(null), [
    [0, 'nearest', 5],
    [0, 'error', 2],
    [1, 'nearest', 2],
    [1, 'error', 1],
  ]);
  assert.deepEqual(values('q').slice(0, 2), [
    [0, 'nearest', 4],
    [0, 'error', 1],
  ]);
  assert.equal(chart(viewOf(null)).signals.layerMax, 3.5, 'with room for the layers to come');
});

test('the spec compiles without a warning and does not change from layer to layer', () => {
  const first = { ...ROUNDING, layer: [0] };
  const specs = [chart(viewOf(null, first)).spec, chart(viewOf('q')).spec];
  assert.deepEqual(compileWarnings(specs), []);
  assert.equal(JSON.stringify(specs[0]), JSON.stringify(specs[1]));
  const change = changeOf(chart(viewOf(null, first)).data.points!, chart(viewOf(null)).data.points!);
  assert.deepEqual([change.keep, change.insert.length], [2, 2]);
});

test('what is zero or not a number is not drawn, and not part of a mean', () => {
  const rounding: RoundingErrors = {
    method: 'GPTQ',
    layers: 2,
    layer: [0, 1],
    linears: [
      { name: 'q', nearest: [0.04, 0], error: [null, 0] },
      { name: 'k', nearest: [0.02, 0], error: [0.01, 0] },
    ],
  };
  const view = viewOf(null, rounding);
  assert.deepEqual(
    chart(view).data.points!.map(({ value }) => value),
    [2, 1, null, null],
  );
  assert.deepEqual(roundingTable(view).rows[1], ['1', '0.00 %', '0.00 %', '–']);
  assert.equal(roundingReadout(viewOf('q', rounding), 0), 'layer 0: – of the error to nearest');
});

test('words: of a layer or of all, with what is left of the error to nearest', () => {
  const view = viewOf(null);
  assert.equal(roundingReadout(view, null), 'mean of 2 layers: 43 % of the error to nearest');
  assert.equal(roundingReadout(view, 0), 'layer 0: 40 % of the error to nearest');
  assert.deepEqual(roundingValues(view, null), ['3.50 %', '1.50 %']);
  assert.equal(
    spokenRounding(viewOf('down'), 1),
    'layer 1: 75 % of the error to nearest · GPTQ 1.50 % · rounded to nearest 2.00 %',
  );
  assert.match(
    chart(view).summary,
    /^Rounding error by layer, mean of all 2, mean of 2 layers: 1\.50 % by GPTQ, 3\.50 % rounded to nearest\. Arrow/,
  );
});

test('the table has one row per layer, for what was chosen', () => {
  const table = roundingTable(viewOf('down'));
  assert.equal(table.caption, 'Rounding error by layer · down_proj');
  assert.deepEqual(
    table.columns.map(({ title }) => title),
    ['layer', 'rounded to nearest', 'GPTQ', 'GPTQ / to nearest'],
  );
  assert.deepEqual(table.rows, [
    ['0', '6.00 %', '3.00 %', '50 %'],
    ['1', '2.00 %', '1.50 %', '75 %'],
  ]);
});

test('states: of a run that rounds, of an evaluation, of a run without', async (t) => {
  const folder = await runsFolder(t);
  const running = await trainingOf(makeRoundingRun(folder));
  assert.deepEqual([running.rounding?.layers, running.rounding?.layer.length], [32, 18]);
  assert.equal(running.run?.activity, 'Rounding layer 19 of 32 by GPTQ (56 %) · 2 min 13 s left');
  assert.equal(running.run?.secondsLeft, null, 'of the steps nothing is left');
  const evaluated = await trainingOf(makeEvaluatedRun(folder));
  assert.equal(evaluated.rounding?.layer.length, 32);
  assert.equal(evaluated.run?.activity, null);
  assert.equal((await trainingOf(null)).rounding, null);
});
