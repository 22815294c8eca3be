import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import test from 'node:test';
import { deepActivations } from '../../scripts/fixtures/activations.mts';
import { makeDeepRun } from '../../scripts/fixtures/make-runs.mts';
import { experimentSchema, siteQuantizer } from '../../src/config/index.ts';
import { quantizationGrid } from '../../src/extension/panels/layers/grid.ts';
import { extent, layersState } from '../../src/extension/panels/layers/state.ts';
import type { Site } from '../../src/protocol/block.ts';
import type { SiteDetail } from '../../src/protocol/panels/layers.ts';
import { layersStrings } from '../../src/protocol/panels/layers-strings.ts';
import { openRun } from '../../src/runs/index.ts';
import {
  cellMaxima,
  cellReadout,
  channelsChart,
  channelsTable,
  worstChannel,
} from '../../webview/layers/channels.ts';
import { depthChart, depthTable } from '../../webview/layers/depth.ts';
import {
  binAt,
  binReadout,
  gridAbout,
  histogramChart,
  histogramTable,
  visibleDomain,
} from '../../webview/layers/histogram.ts';
import { formatNumber } from '../../webview/shared/format.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { compileWarnings } from './compile.ts';
import { layersOf, runsFolder } from './states.ts';

const strings = layersStrings((text) => text);
const theme = themeFrom(() => '', false);
const { quantization } = experimentSchema.parse({ model: 'm' });
const base = { bits: 4, symmetric: false, clipRatio: 1, includeZero: true } as const;

test('the grid holds exactly the values that the quantizer can give', () => {
  // s = 3/15 = 0.2, z = round(1/0.2) = 5: codes 0 … 15 are −1.0 … 2.0.
  const { levels } = quantizationGrid(base, -1, 2);
  assert.equal(levels.length, 16);
  levels.forEach((level, code) => {
    assert.ok(Math.abs(level - (-1 + 0.2 * code)) < 1e-12, `code ${code}: ${level}`);
  });
  // s = 7/7 = 1: −8 … 7.
  const symmetric = quantizationGrid({ ...base, symmetric: true }, -3, 7).levels;
  assert.deepEqual(
    symmetric.map((level) => level + 0),
    Array.from({ length: 16 }, (_, code) => code - 8),
  );
  // s = 7.5/7.5 = 1 with the full range.
  const full = quantizationGrid({ ...base, symmetric: true, fullRange: true }, -3, 7.5).levels;
  assert.deepEqual(full, symmetric);
  assert.ok(quantizationGrid(base, 2, 5).levels[0]! === 0, 'zero is made part of the range');
  assert.equal(quantizationGrid({ ...base, clipRatio: 0.5 }, 0, 30).levels.at(-1), 15);
});

test('each site has the quantizer that the method puts there', () => {
  const at = (site: Site, of = quantization, acrossHeads = false) => siteQuantizer(site, of, { acrossHeads });
  assert.equal(at('query', quantization), null);
  assert.equal(at('o-input', quantization)?.shares, 'head');
  assert.equal(at('down-input', quantization)?.shares, 'token');
  assert.equal(at('key', { ...quantization, keys: { ...quantization.keys, bits: 16 } }), null);
  const grouped = { ...quantization, activations: { ...quantization.activations, groupSize: 128 } };
  assert.deepEqual(
    [at('mlp-input', grouped)?.shares, at('mlp-input', grouped)?.includeZero],
    ['group', false],
  );
  assert.deepEqual(at('o-input', quantization, true), at('down-input'), 'mixed heads share a scale');
  assert.equal(at('o-input', grouped, true)?.shares, 'group');
  assert.equal(at('value', quantization, true)?.shares, 'head');
});

test('the reach of a site comes from its outermost bins and its largest value', () => {
  const statistics = deepActivations(1, 1).sites[0]!.before;
  const counts = [0, 0, 4, 9, 1, 0, 0, 0];
  const narrow = { ...statistics, maxAbs: 0.9, histogram: { min: -2, max: 2, counts } };
  assert.deepEqual(extent(narrow), [-0.9, 0.5]);
  const empty = { ...statistics, maxAbs: 0.9, histogram: { min: -2, max: 2, counts: counts.map(() => 0) } };
  assert.deepEqual(extent(empty), [-0.9, 0.9]);
});

async function detailOf(t: test.TestContext, choice: Parameters<typeof layersOf>[1]) {
  const state = await layersOf(makeDeepRun(await runsFolder(t)), choice);
  return { state, detail: state.detail as SiteDetail };
}

test('a run of 32 layers: every site of every layer in outline, the worst one first', async (t) => {
  const { state, detail } = await detailOf(t, {});
  assert.equal(state.layers, 32);
  assert.equal(state.depth.length, 32 * 7);
  const worst = Math.min(...state.depth.map(({ after }) => after.sqnrDb ?? Number.POSITIVE_INFINITY));
  assert.equal(detail.after.sqnrDb, worst);
  assert.ok(detail.before.kurtosis! > 10 * detail.after.kurtosis!);
});

test('what does not exist is replaced by the nearest that does', async (t) => {
  const { detail } = await detailOf(t, { layer: 99, site: 'key' });
  assert.equal(detail.site, 'key');
  assert.ok(detail.layer < 32);
});

test('the histogram: both sides on one axis, every tick inside it', async (t) => {
  const { detail } = await detailOf(t, { layer: 7, site: 'down-input' });
  const [lo, hi] = visibleDomain(detail);
  const { data, signals } = histogramChart(detail, strings, theme, { logCounts: true });
  assert.deepEqual([signals.xMin, signals.xMax], [lo, hi]);
  assert.equal(data.ticks!.length, 32, '16 levels on each side');
  for (const { level } of data.ticks!) assert.ok((level as number) >= lo && (level as number) <= hi);
  const total = (rows: typeof data.before) => rows!.reduce((sum, { count }) => sum + (count as number), 0);
  assert.equal(
    total(data.before),
    detail.before.counts.reduce((a, b) => a + b),
  );
  const bin = binAt(detail, 0)!;
  assert.match(binReadout(detail, bin, strings), /before [\d\u202f]+ · after [\d\u202f]+/);
  assert.equal(binAt(detail, 1e9), null);
  assert.ok(histogramTable(detail, strings).rows.length <= 128);
});

test('the grid is that of the median token, and says so; a file without it gives the widest', async (t) => {
  const dir = makeDeepRun(await runsFolder(t));
  const { detail } = await layersOf(dir, { layer: 7, site: 'down-input' });
  const { medianRange, ...older } = (await (await openRun(dir)).readActivations()).sites.find(
    ({ layer, site }) => layer === 7 && site === 'down-input',
  )!.before;
  const ends = ({ levels }: { levels: readonly number[] }) => [levels[0], levels.at(-1)];
  const { min, max } = medianRange!;
  assert.deepEqual(ends(detail!.before.grid!), ends(quantizationGrid(base, min, max)));
  assert.equal(
    gridAbout(detail!, strings),
    'ticks: the 16 levels of the 4-bit asymmetric grid of the median token; half of all tokens have a finer one',
  );
  const step = (max - min) / 15;
  const [label] = histogramChart(detail!, strings, theme, { logCounts: true }).data.labels!;
  assert.ok(String(label!.text).endsWith(`· step ${formatNumber(step, 3)}`), String(label!.text));
  const { detail: key } = await layersOf(dir, { layer: 7, site: 'key' });
  assert.match(gridAbout(key!, strings), /of the median head of a token; half of all heads have/);

  const activations = { ...(await (await openRun(dir)).readActivations()) };
  const sites = activations.sites.map((record) => ({ ...record, before: older, after: older }));
  writeFileSync((await openRun(dir)).path('activations'), JSON.stringify({ ...activations, sites }));
  const { detail: wide } = await layersOf(dir, { layer: 7, site: 'down-input' });
  assert.deepEqual(ends(wide!.before.grid!), ends(quantizationGrid(base, ...extent(older))));
  assert.match(gridAbout(wide!, strings), /over the widest token; a token’s own grid is narrower$/);
});

test('a fine grid is a bracket, no grid is said', async (t) => {
  const { detail } = await detailOf(t, { layer: 7, site: 'down-input' });
  const grid = { of: 'median', ...quantizationGrid({ ...base, bits: 8 }, -1, 1) } as const;
  const fine = { ...detail, before: { ...detail.before, grid }, after: { ...detail.after, grid } };
  const { data } = histogramChart(fine, strings, theme, { logCounts: true });
  assert.deepEqual([data.ticks!.length, data.brackets!.length], [0, 2]);
  assert.match(gridAbout(fine, strings), /256 levels of the 8-bit/);
  const { detail: query } = await detailOf(t, { layer: 7, site: 'query' });
  assert.equal(gridAbout(query, strings), 'not quantized');
});

test('channels share cells by their largest; sorted they go down', () => {
  const maxima = Array.from({ length: 1000 }, (_, channel) => (channel === 617 ? 90 : 1 + (channel % 7)));
  const cells = cellMaxima(maxima, false);
  assert.equal(cells.length, 250);
  assert.equal(cells.indexOf(90), Math.floor(617 / 4));
  const sorted = cellMaxima(maxima, true);
  assert.equal(sorted[0], 90);
  assert.ok(sorted.every((value, index) => index === 0 || value <= sorted[index - 1]!));
  assert.equal(worstChannel(maxima), '617 (23×)');
  assert.equal(worstChannel([]), '–');
});

test('the table of channels names the worst of both sides', async (t) => {
  const { detail } = await detailOf(t, { layer: 0, site: 'down-input' });
  const table = channelsTable(detail, strings);
  assert.equal(table.rows.length, 100);
  const largest = Math.max(...detail.before.channelMaxima);
  assert.equal(table.rows[0]![1], String(detail.before.channelMaxima.indexOf(largest)));
  assert.match(cellReadout(detail, 0, false, strings), /^channel 0–10: before [\d.]+ · after [\d.]+$/);
});

test('depth: all layers of the site, units in the table, a site that is not quantized says so', async (t) => {
  const { state } = await detailOf(t, {});
  const { data } = depthChart(state, 'sqnrDb', 'down-input', 7, theme);
  assert.equal(data.points!.length, 64);
  assert.deepEqual(data.selected, [{ layer: 7, from: 6.5, to: 7.5 }]);
  assert.match(depthTable(state, 'sqnrDb', 'down-input').rows[7]![2]!, /^\d+\.\d dB$/);
  assert.equal(depthChart(state, 'sqnrDb', 'query', 7, theme).note, 'not quantized');
});

test('specs compile without a warning', async (t) => {
  const { state, detail } = await detailOf(t, {});
  const charts = [
    histogramChart(detail, strings, theme, { logCounts: true }),
    histogramChart(detail, strings, theme, { logCounts: false }),
    channelsChart(detail, strings, theme, false),
    depthChart(state, 'sqnrDb', detail.site, 0, theme),
    depthChart(state, 'kurtosis', detail.site, 0, theme),
  ];
  assert.deepEqual(compileWarnings(charts.map(({ spec }) => spec)), []);
});

test('keys without a part say what it would cost to keep it', () => {
  const record = deepActivations(1, 1).sites.find(({ site }) => site === 'key')!;
  const shown = (offset: object) =>
    layersState({
      strings,
      memory: { run: null, experiment: null, layer: null, site: null, other: null },
      runs: [],
      shown: {
        name: { dir: '/runs/one', name: 'one', title: 'one', bits: 'W4A4KV4', startedAt: '' },
        model: 'm',
        activations: { sites: [{ ...record, ...offset }] },
        quantization,
        rotation: { acrossHeads: false },
      },
      problem: null,
    }).detail?.offset;
  assert.equal(shown({}), null);
  assert.deepEqual(shown({ offset: { part: 'mean', keptSqnrDb: 11 } }), { part: 'mean', keptSqnrDb: 11 });
});
