import assert from 'node:assert/strict';
import test from 'node:test';
import { curve } from '../../scripts/fixtures/curves.mts';
import { stepColumns } from '../../src/extension/panels/training/history.ts';
import type { RunCurves } from '../../src/protocol/panels/training.ts';
import { trainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { changeOf } from '../../webview/shared/chart-model.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { trainingChart } from '../../webview/training/charts.ts';
import { DEFINITIONS, lossOf } from '../../webview/training/definitions.ts';
import { legendValues, readout, titleOf, trainingTable } from '../../webview/training/readouts.ts';
import { type CurveView, rowAt, WHOLE } from '../../webview/training/view.ts';
import { compileWarnings } from './compile.ts';

const strings = trainingStrings((text) => text);
const theme = themeFrom(() => '', false);
const [loss, gradient, stepSize, distance, seconds, orthogonality] = DEFINITIONS as unknown as [
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
  (typeof DEFINITIONS)[number],
];

function run(mark: string, shape: Parameters<typeof curve>[0]['shape'], steps: number, seed = 1): RunCurves {
  const events = curve({ shape, seed, steps, of: 100, startedAt: new Date(0), secondsPerStep: 1 });
  const facts = { of: 100, gradientClip: 1, objective: 'cross-entropy', cayley: true, kept: 0 } as const;
  return { dir: `/${mark}`, name: mark, mark, ...facts, steps: stepColumns(events, 10) };
}

const at = (place: number) => ({ place, axis: { secondsOf: null, words: ['', ''] as const } });
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
  assert.equal(change.keep, before.length);
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
  assert.match(readout(loss, curves, strings, at(30)), /^step 30: A 2\.\d{3} · B 2\.\d{3} nats per token$/);
  assert.match(readout(loss, curves, strings, at(90)), /^step 90: A – · B 2\.\d{3} nats per token$/);
  const peak = [{ ...curves[0]!, objective: 'peak' as const }];
  assert.match(readout(loss, peak, strings, null), /^2\.\d{3} \(soft peak of a token\)$/);
  assert.equal(trainingTable(loss, peak, strings).caption, 'Loss, (soft peak of a token)');
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

test('losses of different objectives never share an axis', () => {
  const own = run('A', 'converging', 41);
  const other = { ...run('B', 'stalled', 60, 2), objective: 'whip' as const };
  const marks = (definition: typeof loss) => {
    const { steps, others } = chart(definition, [own, other]).model.data;
    return [...new Set([...steps!, ...others!].map(({ run: mark }) => mark))];
  };
  assert.deepEqual(marks(lossOf('cross-entropy')), ['A']);
  assert.deepEqual(marks(lossOf('whip')), ['B']);
  assert.deepEqual(marks(gradient), ['A', 'B'], 'other quantities can be compared');
  assert.equal(titleOf(lossOf('whip'), strings), 'Loss: whip');
});

test('along the time, zoomed, on a log axis, without a run: what the person chose is drawn', () => {
  const curves = [run('A', 'converging', 41), run('B', 'converging', 100, 2)];
  const model = (view: Partial<CurveView>) =>
    trainingChart({ definition: loss, curves, strings, theme, previous: null, view: { ...WHOLE, ...view } })
      .model;
  const time = model({ x: 'time' });
  // 100 steps of a second are told in seconds below three minutes.
  assert.deepEqual([time.signals.xMin, time.signals.wordBehind], [0, ' s']);
  assert.ok(Math.abs((time.data.steps!.at(-1)!.step as number) - curves[0]!.steps.elapsed.at(-1)!) < 1e-9);
  const zoomed = model({ zoom: [10, 20] });
  assert.deepEqual([zoomed.signals.xMin, zoomed.signals.xEnd], [10, 20]);
  const inside = zoomed.data.steps!.filter(({ step }) => (step as number) >= 10 && (step as number) <= 20);
  const values = inside.map(({ value }) => value as number);
  assert.ok((zoomed.signals.yMin as number) <= Math.min(...values));
  assert.ok((zoomed.signals.yMax as number) >= Math.max(...values));
  assert.ok((zoomed.signals.yMax as number) < (model({}).signals.yMax as number) + 1e-9);
  assert.match(JSON.stringify(model({ logLoss: true }).spec), /"type":"log"/);
  assert.deepEqual(model({ hidden: ['B'] }).data.others, []);
});

test('the row nearest to a place is found, and none beyond the ends', () => {
  assert.deepEqual(
    [0, 1, 1.6, 2.4, 9, 12].map((place) => rowAt([1, 2, 3, 10], place)),
    [-1, 0, 1, 1, 3, -1],
  );
  assert.equal(rowAt([], 1), -1);
});
