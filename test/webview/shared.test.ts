import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { panelPage } from '../../src/extension/panels/page.ts';
import { parseIntent } from '../../src/protocol/panels/common.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import { layersIntentSchema, layersMemorySchema } from '../../src/protocol/panels/layers.ts';
import { resultsIntentSchema, resultsMemorySchema } from '../../src/protocol/panels/results.ts';
import { MOST_COMPARED } from '../../src/protocol/panels/results-limits.ts';
import { trainingIntentSchema, trainingMemorySchema } from '../../src/protocol/panels/training.ts';
import { changeOf } from '../../webview/shared/chart-model.ts';
import {
  linearTicks,
  logTicks,
  stableDomain,
  stepTicks,
  tightLinearDomain,
  tightLogDomain,
} from '../../webview/shared/domain.ts';
import { firstSpans } from '../../webview/shared/fill-rows.ts';
import { formatAge, formatCount, formatNumber } from '../../webview/shared/format.ts';
import { beforeColor, mixed, themeFrom } from '../../webview/shared/theme.ts';
import themes from './themes.json' with { type: 'json' };

test('an axis stays while its data fit and fill it', () => {
  const first = stableDomain([2.52, 2.89], null, 'linear');
  assert.ok(first[0] <= 2.52 && first[1] >= 2.89);
  assert.equal(stableDomain([2.5, 2.9], first, 'linear'), first, 'a little more data: the same axis');
  const wider = stableDomain([2.5, 4], first, 'linear');
  assert.notEqual(wider, first);
  assert.ok(wider[1] >= 4);
  const narrower = stableDomain([2.51, 2.6], [0, 10], 'linear');
  assert.ok(narrower[1] - narrower[0] < 1, 'an axis ten times too long is drawn anew');
  assert.equal(stableDomain([0.2, 3], null, 'from-zero')[0], 0);
  assert.deepEqual(stableDomain([null, 0, -1], null, 'log'), [0.1, 1], 'nothing to draw on a log axis');
  assert.deepEqual(stableDomain([null], [3, 4], 'linear'), [3, 4]);
  assert.deepEqual(
    stableDomain([5, 5], null, 'linear').map((end) => Math.sign(end - 5)),
    [-1, 1],
  );
});

test('growing data move an axis a few times, not at every step', () => {
  const values: number[] = [];
  let domain: readonly [number, number] | null = null;
  let moves = 0;
  for (let step = 1; step <= 100; step++) {
    values.push(0.1 * Math.sqrt(step / 100));
    const next = stableDomain(values, domain, 'from-zero');
    if (domain && next !== domain) moves++;
    domain = next;
  }
  assert.ok(moves <= 5, `${moves} moves`);
});

test('ticks: decades of a log axis, first and last step of a step axis', () => {
  assert.deepEqual(logTicks([1e-7, 1e-5]), [1e-7, 1e-6, 1e-5]);
  assert.deepEqual(logTicks([1, 10]), [1, 2, 5, 10]);
  assert.deepEqual(logTicks([1e-6, 1e2]), [1e-6, 1e-4, 1e-2, 1, 100]);
  assert.deepEqual(stepTicks(100), [1, 20, 40, 60, 100]);
  assert.deepEqual(stepTicks(2), [1, 2]);
});

test('an axis that does not move ends near its data, at round numbers', () => {
  assert.deepEqual(tightLogDomain([23.6, 133]), [20, 200]);
  assert.deepEqual(tightLogDomain([7e-4, null, 0, 3e-2]), [5e-4, 5e-2]);
  assert.deepEqual(tightLogDomain([1, 1]), [0.5, 2]);
  assert.deepEqual(tightLogDomain([null]), [0.1, 1]);
  assert.deepEqual(logTicks([20, 200]), [20, 50, 100, 200]);
  assert.deepEqual(logTicks([5e-4, 5e-1]), [1e-3, 1e-2, 1e-1]);
  assert.deepEqual(tightLinearDomain([1.845, 2.524]), [1.8, 2.6]);
  assert.deepEqual(tightLinearDomain([0.001, 3])[0], 0, 'of sizes, nothing is below zero');
  assert.ok(tightLinearDomain([-1, 3])[0] < -1);
  assert.deepEqual(linearTicks([1.8, 2.6]), [1.8, 2, 2.2, 2.4, 2.6]);
});

test('only new rows flow into a chart', () => {
  const rows = [{ a: 1 }, { a: 2 }];
  assert.deepEqual(changeOf(rows, [{ a: 1 }, { a: 2 }, { a: 3 }]), { keep: 2, insert: [{ a: 3 }] });
  assert.deepEqual(changeOf(rows, [{ a: 1 }, { a: 2 }]), { keep: 2, insert: [] });
  assert.deepEqual(changeOf(rows, [{ a: 1 }, { a: 9 }]), { keep: 1, insert: [{ a: 9 }] });
  assert.deepEqual(changeOf(rows, [{ a: 1 }]), { keep: 1, insert: [] });
});

test('numbers have four digits, powers of ten at the ends, and a sign as wide as a plus', () => {
  assert.deepEqual(
    [2.3141592, 0.000000123, -3.5, 0, 123456, null, Number.NaN].map((value) => formatNumber(value)),
    ['2.314', '1.2e−7', '−3.500', '0.000', '1.2e5', '–', '–'],
  );
  assert.equal(formatCount(8192), '8\u202f192');
  const now = Date.UTC(2026, 0, 2);
  assert.equal(formatAge(new Date(now - 2 * 3_600_000).toISOString(), now, 'en'), '2 hr. ago');
  assert.equal(formatAge('never', now, 'en'), '–');
});

test('a theme without a colour gets the default theme’s', () => {
  const theme = themeFrom((token) => (token === '--vscode-charts-blue' ? ' #123456 ' : ''), false);
  assert.equal(theme.accent, '#123456');
  assert.match(theme.background, /^#/);
  assert.equal(theme.runs.length, 6);
});

test('colours of charts are opaque, however a theme writes them', () => {
  const cases = {
    '#ea5c0055': '#ea5c00',
    '#e508': '#e50',
    'rgba(234, 92, 0, 0.33)': 'rgb(234, 92, 0)',
    'rgb(234 92 0 / 33%)': 'rgb(234, 92, 0)',
    '#ea5c00': '#ea5c00',
    'rgb(1, 2, 3)': 'rgb(1, 2, 3)',
  };
  for (const [given, shown] of Object.entries(cases)) {
    const theme = themeFrom((token) => (token === '--vscode-charts-orange' ? given : ''), false);
    assert.equal(theme.runs[1], shown);
  }
});

test('placeholders without a value stay', () => {
  assert.equal(fill('{0} of {1}, {2}', 1, 'two'), '1 of two, {2}');
});

test('intents that no panel sends are refused', () => {
  const run = '/w/.spinquant/runs/r';
  assert.ok(parseIntent(trainingIntentSchema, { type: 'pause', run }));
  assert.ok(parseIntent(resultsIntentSchema, { type: 'select', selected: [run, run] }));
  const picture = { type: 'save-picture', format: 'svg', name: 'spread', content: '<svg/>' };
  assert.ok(parseIntent(resultsIntentSchema, picture));
  const refused: readonly [Parameters<typeof parseIntent>[0], unknown][] = [
    [trainingIntentSchema, { type: 'pause' }],
    [trainingIntentSchema, { type: 'pause', run, extra: 1 }],
    [trainingIntentSchema, { type: 'delete', run }],
    [trainingIntentSchema, null],
    [layersIntentSchema, { type: 'layer', layer: -1 }],
    [layersIntentSchema, { type: 'layer', layer: 1.5 }],
    [layersIntentSchema, { type: 'site', site: 'elsewhere' }],
    [resultsIntentSchema, { type: 'copy', format: 'exe', text: '' }],
    [resultsIntentSchema, { type: 'select', selected: Array.from({ length: MOST_COMPARED + 1 }, () => run) }],
    [resultsIntentSchema, { type: 'command', run, command: 'format-disk' }],
    [resultsIntentSchema, { type: 'open', run, what: 'terminal' }],
    [resultsIntentSchema, { ...picture, format: 'html' }],
    [resultsIntentSchema, { ...picture, path: '/etc/passwd' }],
    [resultsIntentSchema, { type: 'copy-table', format: 'exe', published: true }],
    [resultsIntentSchema, { type: 'table', file: '', bits: null }],
    [trainingMemorySchema, { run: 7, overlays: [] }],
    [layersMemorySchema, { run: null, layer: null }],
  ];
  // What a panel of before kept is still read.
  assert.deepEqual(parseIntent(resultsMemorySchema, { selected: [run] }), {
    selected: [run],
    table: null,
    bits: null,
  });
  for (const [schema, value] of refused)
    assert.equal(parseIntent(schema, value), null, JSON.stringify(value));
});

test('the page has nothing inline and escapes what it is given', () => {
  const page = panelPage({
    title: '<b>"',
    locale: 'en',
    cspSource: "https://x 'self'",
    nonce: 'abc',
    script: 'https://x/a.js?q="&',
    style: 'https://x/a.css',
  });
  assert.match(page, /default-src 'none'; style-src https:\/\/x 'self'; script-src 'nonce-abc'/);
  assert.doesNotMatch(page, /<style|style=|unsafe|<b>/);
  assert.match(page, /a\.js\?q=&quot;&amp;"/);
});

/** True for a contract that brings no package into the page, nor does what it imports. */
function isLight(path: string): boolean {
  const imports = [
    ...readFileSync(path, 'utf8').matchAll(/^(?:import|export) (?!type)[^;]* from '([^']+)';/gm),
  ];
  return (
    path.includes('/src/protocol/') &&
    imports.every(([, from]) => from!.startsWith('.') && isLight(resolve(dirname(path), from!)))
  );
}

test('panels import types of the contracts, and code only from what has no dependencies', () => {
  const folder = fileURLToPath(new URL('../../webview', import.meta.url));
  let files = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    files++;
    const text = readFileSync(`${folder}/${name}`, 'utf8');
    for (const [, type, path] of text.matchAll(
      /^(?:import|export)\s+(type\s)?[^'"]*from '([^']*src\/[^']+)';/gm,
    ))
      assert.ok(
        type !== undefined || isLight(resolve(folder, dirname(name), path!)),
        `${name} imports ${path} at run time`,
      );
  }
  assert.ok(files > 20);
});

test('what is only there to compare with stands out at 3 : 1, and less than text', () => {
  for (const [name, { tokens }] of Object.entries(themes)) {
    const theme = themeFrom(
      (token) => (tokens as Record<string, string>)[token] ?? '',
      name.includes('contrast'),
    );
    const contrast = (color: string) => ratio(luminance(color), luminance(theme.background));
    assert.ok(contrast(beforeColor(theme)) >= 3, `${name}: ${contrast(beforeColor(theme)).toFixed(2)} : 1`);
    assert.ok(contrast(beforeColor(theme)) < 0.6 * contrast(theme.foreground), `${name} is muted`);
  }
  assert.equal(mixed('rgb(255, 255, 255)', '#000'), 'rgb(140, 140, 140)');
  assert.equal(mixed('white', '#000'), 'white', 'what cannot be read stays');
});

function luminance(color: string): number {
  const channels = /^#/.test(color)
    ? [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16))
    : color.match(/[\d.]+/g)!.map(Number);
  const [r, g, b] = channels.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

const ratio = (a: number, b: number): number => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);

test('rows of figures are full, whatever their number and that of the columns', () => {
  for (let figures = 1; figures <= 8; figures++)
    for (let columns = 1; columns <= 6; columns++) {
      const spans = firstSpans(
        Array.from({ length: figures }, () => false),
        columns,
      );
      assert.equal(spans.reduce((sum, span) => sum + span, 0) % columns, 0, `${figures} in ${columns}`);
      assert.ok(spans.every((span) => span <= columns));
    }
  assert.deepEqual(firstSpans([true, false, false, true], 3), [1, 2, 1, 1]);
});
