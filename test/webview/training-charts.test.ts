import assert from 'node:assert/strict';
import test from 'node:test';
import { curve } from '../../scripts/fixtures/curves.mts';
import { stepColumns } from '../../src/extension/panels/training/history.ts';
import type { RunCurves } from '../../src/protocol/panels/training.ts';
import { trainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { changeOf } from '../../webview/shared/chart-model.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { trainingChart } from '../../webview/training/charts.ts';
import { DEFINITIONS } from '../../webview/training/definitions.ts';
import { legendValues, readout, trainingTable } from '../../webview/training/readouts.ts';
import { compileWarnings } from './compile.ts';

const strings = trainingStrings((text) => text);
const theme = themeFrom(() => '', false);
const [loss, orthogonality, gradient, stepSize, distance, seconds] = DEFINITIONS as unknown as [
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
];

function run(mark: string, shape: Parameters<typeof curve>[0]['shape'], steps: number, seed = 1): RunCurves {
  const events = curve({ shape, seed, steps, of: 100, startedAt: new Date(0), secondsPerStep: 1 });
  const facts = { of: 100, gradientClip: 1, lossInNats: true, cayley: true };
  return { dir: `/${mark}`, name: mark, mark, ...facts, steps: stepColumns(events) };
}

const chart = (definition: typeof loss, curves: readonly RunCurves[], previous = null) =>
  trainingChart({ definition, curves, strings, theme, previous });

test('every spec compiles without a warning', () => {
  const specs = DEFINITIONS.map((definition) => chart(definition, [run('A', 'converging', 5)]).model.spec);
  assert.deepEqual(compileWarnings(specs), []);
});

test('a new step of the run is one row at the end, also under overlays', () => {
  const others = [run('B', 'stalled', 100, 2), run('C', 'diverging', 100, 3)];
  const before = chart(loss, [run('A', 'converging', 40), ...others]).model.data.steps!;
  const after = chart(loss, [run('A', 'converging', 41), ...others]).model.data.steps!;
  const change = changeOf(before, after);
  assert.equal(change.replace, false);
  assert.deepEqual(
    change.insert.map(({ run: mark, step }) => [mark, step]),
    [['A', 41]],
  );
  assert.equal(after.length, 41);
  assert.equal(chart(loss, [run('A', 'converging', 41), ...others]).model.data.others!.length, 200);
});

test('the structure does not change from step to step', () => {
  const specs = [1, 2, 60].map((steps) =>
    JSON.stringify(chart(stepSize, [run('A', 'converging', steps)]).model.spec),
  );
  assert.equal(new Set(specs).size, 1);
});

test('a loss that is not a number is a gap, marked and said', () => {
  const { model } = chart(loss, [run('A', 'not-a-number', 60)]);
  assert.deepEqual(
    model.data.gaps!.map(({ step }) => step),
    [37, 38, 39, 40, 41],
  );
  assert.match(model.note, /5 steps, 37 to 41/);
  const drawn = model.data.steps!;
  assert.equal(drawn.length, 55);
  const pieces = [...new Set(drawn.map(({ piece }) => piece))];
  assert.equal(pieces.length, 2);
  assert.deepEqual(
    pieces.map((piece) => drawn.filter((row) => row.piece === piece).length),
    [36, 19],
  );
  assert.equal(chart(gradient, [run('A', 'not-a-number', 60)]).model.note, '', 'only the loss has it');
  const table = trainingTable(loss, [run('A', 'not-a-number', 60)], strings);
  assert.deepEqual(table.rows[36], ['37', 'not a number']);
});

test('a log axis leaves zero out; a rotation that is not learned has no line', () => {
  const own = run('A', 'converging', 10);
  const zero = { ...own, steps: { ...own.steps, orthogonalityError: own.steps.step.map(() => 0) } };
  const { model } = chart(orthogonality, [zero]);
  assert.deepEqual(model.data.steps, []);
  const fixed = { ...own, steps: { ...own.steps, distanceR2: own.steps.step.map(() => null) } };
  assert.deepEqual(
    [...new Set(chart(distance, [fixed]).model.data.steps!.map(({ series }) => series))],
    ['r1'],
  );
  assert.deepEqual(
    legendValues(distance, [fixed], strings, null).map(({ name }) => name),
    ['R1'],
  );
});

test('letters stand at the ends of several runs, together where lines end together', () => {
  assert.deepEqual(
    chart(loss, [run('A', 'converging', 41)]).model.data.ends!.map(({ label }) => label),
    [''],
  );
  const curves = [run('A', 'converging', 41), run('B', 'diverging', 100, 2), run('C', 'stalled', 100, 3)];
  const labels = (chosen: readonly RunCurves[]) =>
    chart(loss, chosen).model.data.ends!.map(({ label }) => label);
  assert.deepEqual(labels(curves), ['A', 'B', 'C']);
  const twin = { ...curves[2]!, mark: 'D' };
  assert.deepEqual(labels([...curves, twin]), ['A', 'B', 'C D', '']);
});

test('the clip of the gradient is drawn where it is in sight', () => {
  assert.deepEqual(chart(gradient, [run('A', 'converging', 41)]).model.data.rules, [{ value: 1 }]);
  const far = { ...run('A', 'converging', 41), gradientClip: 1e9 };
  assert.deepEqual(chart(gradient, [far]).model.data.rules, []);
  assert.deepEqual(chart(loss, [run('A', 'converging', 41)]).model.data.rules, []);
});

test('readouts: the last step, or all runs at the cursor', () => {
  const curves = [run('A', 'converging', 41), run('B', 'converging', 100, 2)];
  assert.match(readout(loss, curves, strings, null), /^2\.\d{3} nats per token$/);
  assert.match(readout(loss, curves, strings, 30), /^step 30: A 2\.\d{3} · B 2\.\d{3}$/);
  assert.match(readout(loss, curves, strings, 90), /^step 90: A – · B 2\.\d{3}$/);
  const peak = [{ ...curves[0]!, lossInNats: false }];
  assert.match(readout(loss, peak, strings, null), /^2\.\d{3}$/, 'other objectives have no unit');
  assert.equal(trainingTable(loss, peak, strings).caption, 'Loss');
  const fast = {
    ...curves[0]!,
    steps: { ...curves[0]!.steps, seconds: curves[0]!.steps.step.map(() => 0.0058) },
  };
  assert.equal(readout(seconds, [fast], strings, null), '5.8 ms');
  assert.equal(readout(loss, [], strings, null), '');
  assert.equal(chart(loss, [run('A', 'converging', 0)]).model.summary, 'Loss. No steps yet.');
});

test('the table has one row per step of any run and one column per line', () => {
  const curves = [run('A', 'converging', 41), run('B', 'converging', 100, 2)];
  const table = trainingTable(distance, curves, strings);
  assert.deepEqual(
    table.columns.map(({ title }) => title),
    ['step', 'A R1', 'A R2 (mean)', 'B R1', 'B R2 (mean)'],
  );
  assert.equal(table.rows.length, 100);
  assert.deepEqual(table.rows[50]!.slice(1, 3), ['–', '–']);
});

test('the bold line of the loss is the mean of the last ten steps', () => {
  const own = run('A', 'not-a-number', 60);
  const trend = chart(loss, [own]).model.data.trend!;
  const tenth = own.steps.loss.slice(0, 10) as number[];
  const mean = tenth.reduce((sum, value) => sum + value, 0) / 10;
  assert.ok(Math.abs((trend.find(({ step }) => step === 10)!.value as number) - mean) < 1e-12);
  assert.deepEqual(
    [trend[0]!.step, trend.find(({ piece }) => piece !== 0)!.step],
    [3, 44],
    'anew after the gap',
  );
  assert.deepEqual(chart(gradient, [own]).model.data.trend, []);
});
