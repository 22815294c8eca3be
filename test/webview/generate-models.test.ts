import assert from 'node:assert/strict';
import test from 'node:test';
import { Comparison } from '../../src/extension/panels/generate/comparison.ts';
import { comparable, deletedName, sharedLength } from '../../src/extension/panels/generate/state.ts';
import { parseIntent } from '../../src/protocol/panels/common.ts';
import { generateIntentSchema, generateMemorySchema } from '../../src/protocol/panels/generate.ts';
import { generateStrings } from '../../src/protocol/panels/generate-strings.ts';
import type { Run } from '../../src/runs/index.ts';
import { formatDifference, formatLog, levelOf, quoted } from '../../webview/generate/difference.ts';
import {
  divergenceAt,
  divergenceChart,
  divergenceSpec,
  divergenceTable,
} from '../../webview/generate/divergence.ts';
import { nextPlace } from '../../webview/generate/token-view.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { compileWarnings } from './compile.ts';
import { allEvents, comparedAfter, eventsOf, generatedOf, RUNS, SETTINGS } from './generated.ts';

const theme = themeFrom(() => '', false);

test('what is told becomes columns, whatever has come so far', () => {
  const total = allEvents().length;
  const { length } = eventsOf(0, 0).filter(({ type }) => type === 'token');
  const shares = Array.from({ length: total + 1 }, (_, count) => comparedAfter(count).done);
  assert.deepEqual([shares[0], shares.at(-1)], [0, 1]);
  for (const [count, share] of shares.entries())
    assert.ok(count === 0 || share >= shares[count - 1]!, `the share of event ${count} fell to ${share}`);
  const activity = (count: number) =>
    generatedOf({ running: true, comparison: comparedAfter(count) }).activity;
  assert.equal(activity(1), 'Full precision: starting');
  assert.equal(activity(8), `Full precision: writes token 5 of ${length}`);
  assert.equal(activity(total - 2), `nearest, without rotations: judges token ${length} of ${length}`);
  const { columns, tokens, prompt } = generatedOf();
  assert.equal(tokens.length, length);
  assert.equal(prompt, SETTINGS.prompt);
  assert.deepEqual(
    columns.map(({ status, judged }) => [status, judged.length]),
    [
      ['done', 0],
      ['done', length],
      ['done', length],
    ],
  );
  assert.deepEqual(
    columns.map(({ bits }) => bits),
    ['W16A16KV16', 'W4A4KV4', 'W4A4KV4 · no rotation'],
  );
  assert.equal(columns[0]!.same, columns[0]!.text.length);
  assert.equal(columns[1]!.text.slice(0, columns[1]!.same), columns[0]!.text.slice(0, columns[1]!.same));
  assert.ok(columns[2]!.same < columns[1]!.same && columns[1]!.same < columns[1]!.text.length);
});

test('phases are told until something else comes; held text belongs to the last token', () => {
  const comparison = new Comparison('x', ['/runs/a']);
  const time = '2026-11-21T18:45:00Z';
  comparison.hear([
    { type: 'column', column: 0, event: { type: 'started' } },
    { type: 'phase', phase: 'load', state: 'started', time },
  ]);
  const activity = () => generatedOf({ running: true, comparison, names: RUNS.slice(0, 1) }).activity;
  assert.equal(activity(), 'Full precision: Loading the model');
  comparison.hear([
    { type: 'column', column: 0, event: { type: 'token', id: 1, text: '', logProbability: -1 } },
    { type: 'column', column: 0, event: { type: 'text-end', text: 'é', ended: 'tokens' } },
  ]);
  assert.deepEqual(comparison.columns[0]!.written, [{ text: 'é', logProbability: -1 }]);
  comparison.stop();
  assert.deepEqual(
    comparison.columns.map(({ status }) => status),
    ['stopped', 'stopped'],
  );
});

test('numbers too large for JSON are missing, not wrong', () => {
  const comparison = comparedAfter();
  const summary = {
    tokens: 1,
    perplexity: Number.POSITIVE_INFINITY,
    meanDifference: -800,
    meanDivergence: 2,
  };
  comparison.hear([{ type: 'column', column: 1, event: { type: 'text-judged', ...summary } }]);
  assert.deepEqual(generatedOf({ comparison }).columns[1]!.summary, { ...summary, perplexity: null });
});

test('texts share whole characters', () => {
  assert.equal(sharedLength('abc', 'abd'), 2);
  assert.equal(sharedLength('abc', 'abc'), 3);
  assert.equal(sharedLength('😀', '😁'), 0, 'their first halves are the same');
  assert.equal(sharedLength('ab', 'a'), 1);
});

test('steps of colour and the numbers beside them', () => {
  assert.deepEqual(
    [-5, -2, -1.9, -0.5, -0.1, -0.09, 0, 0.1, 0.6, 2].map(levelOf),
    [-3, -3, -2, -2, -1, 0, 0, 1, 2, 3],
  );
  assert.deepEqual([-0.734, 0.2, 0.001, -0.004].map(formatDifference), ['−0.73', '+0.20', '0.00', '0.00']);
  assert.deepEqual([-0.001, -1.234].map(formatLog), ['0.00', '−1.23']);
  assert.deepEqual([' a', '.\n', ''].map(quoted), ['“ a”', '“.↵”', '◦']);
});

test('arrow keys move along the tokens and stop at their ends', () => {
  assert.deepEqual(
    ['ArrowRight', 'ArrowLeft', 'Home', 'End', 'Escape', 'x'].map((key) => nextPlace(key, 3, 5)),
    [4, 2, 0, 4, null, undefined],
  );
  assert.deepEqual(
    [nextPlace('ArrowRight', null, 5), nextPlace('ArrowRight', 4, 5), nextPlace('ArrowLeft', 0, 5)],
    [0, 4, 0],
  );
});

test('the chart compiles, and says what the table says', () => {
  assert.deepEqual(compileWarnings([divergenceSpec(theme)]), []);
  const state = generatedOf();
  const { data, signals, summary } = divergenceChart(state, theme, 3);
  assert.equal(data.points!.length, 2 * state.tokens.length);
  assert.deepEqual(data.cursor, [{ token: 4 }]);
  assert.equal(signals.yMin, 0);
  assert.ok((signals.yMax as number) > Math.max(...data.points!.map(({ value }) => value as number)));
  assert.match(summary, /^KL divergence along the text of \d+ tokens\. Means: quick .* 0\.429, nearest/);
  assert.equal(divergenceAt(state, 3), 'token 4 “ little”: A 0.490 · B 0.970');
  const { columns, rows } = divergenceTable(state);
  assert.ok(rows.every((row) => row.length === columns.length));
  const half = divergenceTable(generatedOf({ comparison: comparedAfter(60) }));
  assert.deepEqual(half.rows.at(-1)!.slice(3), ['–', '–', '–', '–']);
});

test('runs of another model, and those at work, are not offered', () => {
  const run = (dir: string, model: string | null, status = 'finished') =>
    ({ dir, record: { status, provenance: model && { model: { path: model } } } }) as unknown as Run;
  const runs = [
    run('a', '/m'),
    run('b', '/m'),
    run('c', '/other'),
    run('d', null),
    run('e', '/m', 'running'),
  ];
  const offered = (chosen: string[]) => comparable(runs, chosen).map(({ dir }) => dir);
  assert.deepEqual(offered([]), ['a', 'b', 'c', 'd']);
  assert.deepEqual(offered(['a']), ['b', 'd']);
  assert.deepEqual(offered(['d']), ['a', 'b', 'c']);
});

test('a column whose run was deleted says so', () => {
  const last = { dir: '/r', name: 'w3', title: 'w3 · W4A4KV4', bits: 'W4A4KV4', startedAt: '' };
  const strings = generateStrings((text) => text);
  assert.deepEqual(deletedName(last, strings), {
    ...last,
    ...{ name: 'The run w3 was deleted', title: 'The run w3 was deleted' },
  });
});

test('intents and memories that no page of ours makes are refused', () => {
  const intent = (settings: object) =>
    parseIntent(generateIntentSchema, { type: 'generate', settings: { ...SETTINGS, ...settings } });
  assert.ok(intent({}));
  for (const wrong of [
    { tokens: 0 },
    { tokens: 513 },
    { tokens: 1.5 },
    { topP: 0 },
    { topK: 0.5 },
    { minP: 1.5 },
    { repetitionPenalty: 0 },
    { stop: 'x'.repeat(201) },
    { temperature: -1 },
    { seed: -1 },
  ])
    assert.equal(intent(wrong), null, JSON.stringify(wrong));
  assert.equal(intent({ prompt: 'x'.repeat(100_001) }), null);
  const memory = { runs: RUNS.map(({ dir }) => dir), settings: SETTINGS };
  assert.ok(generateMemorySchema.safeParse(memory).success);
  const { prompt, tokens, temperature, topP, seed } = SETTINGS;
  const before = { ...memory, settings: { prompt, tokens, temperature, topP, seed } };
  assert.deepEqual(generateMemorySchema.parse(before), memory, 'as an earlier version kept it');
  assert.ok(!generateMemorySchema.safeParse({ ...memory, runs: Array(6).fill('/x') }).success);
});
