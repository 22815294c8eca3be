/** The table of a matrix and its pictures as pure functions of the panel's state. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import { experimentOfText, resolvedCells } from '../../src/config/index.ts';
import { LINEARS, SITES } from '../../src/protocol/block.ts';
import type { MatrixTable } from '../../src/protocol/panels/matrix.ts';
import { matrixStrings } from '../../src/protocol/panels/matrix-strings.ts';
import { collectCells, openRun, remarksOf, tableOf } from '../../src/runs/index.ts';
import { type DepthMeasure, linesOf } from '../../webview/results/matrix/depth.ts';
import { meanBits, paretoPoints } from '../../webview/results/matrix/pareto.ts';
import { PICTURES, type PictureId } from '../../webview/results/matrix/pictures.ts';
import { quantile, stripsOf } from '../../webview/results/matrix/spread.ts';
import { averageBitsText, blocksOf, cellText, notesOf } from '../../webview/results/matrix/table.ts';
import type { PictureView } from '../../webview/results/matrix/view.ts';
import { standaloneSpec } from '../../webview/shared/standalone-spec.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { compileWarnings } from './compile.ts';
import { matrixOf } from './states.ts';

const strings = matrixStrings((text) => text);
const theme = themeFrom(() => '', false);
const IDS = Object.keys(PICTURES) as PictureId[];

interface Settings {
  readonly quantization: object;
}

let root: string;
let file: string;
let table: MatrixTable;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'spinquant-matrix-'));
  file = makeMatrix(runs());
  table = await tableAt(null);
});
after(() => rm(root, { recursive: true }));

const runs = () => join(root, '.spinquant', 'runs');

async function tableAt(bits: string | null): Promise<MatrixTable> {
  const part = await matrixOf(file, runs(), { bits });
  assert.ok(part.table);
  return part.table;
}

const viewOf = (table: MatrixTable, change: Partial<PictureView> = {}): PictureView => ({
  ...{ table, strings, column: 0, site: 'down-input', linear: 'down' },
  ...change,
});

test('the panel shows the numbers, marks and reasons of the table that the terminal prints', async () => {
  const printed = tableOf(await collectCells(experimentOfText(readFileSync(file, 'utf8'), file)));
  assert.deepEqual(
    table.columns,
    printed.columns.map(({ metric, title }) => ({ metric, name: title })),
  );
  assert.equal(table.rows.length, printed.rows.length);
  for (const [index, row] of printed.rows.entries()) {
    const shown = table.rows[index]!;
    assert.deepEqual([shown.bits, shown.method], [row.bits, row.method]);
    assert.deepEqual(
      shown.values.map((value) => value && [value.mean, value.deviation, value.n, value.best]),
      row.values.map((value, at) => value && [value.mean, value.deviation, value.n, row.best[at]]),
    );
  }
  assert.deepEqual(table.remarks, remarksOf(printed));
  assert.equal(table.total, printed.rows.flatMap(({ cells }) => cells).length);
  assert.equal(table.done, table.total - 4, 'one failed, one runs, two wait');
  assert.ok(
    printed.rows.some(({ best }) => best.includes(true)),
    'there is a mark to compare',
  );
});

test('blocks of bits as papers print them; a state stands where no number is; reasons are told', async () => {
  assert.deepEqual(
    blocksOf(table).map(({ bits, rows }) => [bits, rows.length]),
    [
      ['16-16-16', 1],
      ['4-8-16', 6],
      ['4-4-4', 6],
    ],
  );
  const failed = table.rows.find(({ method, bits }) => method === 'gptq' && bits === '4-8-16')!;
  assert.equal(cellText(failed, 0, table.columns, strings), 'failed');
  const spread = table.rows.at(-1)!;
  assert.match(cellText(spread, 0, table.columns, strings), /^7\.\d{3} ± 0\.\d{3}$/);
  assert.deepEqual(notesOf(table, strings), [
    'GPTQ at 4-8-16: model.layers.3.mlp: every channel of its input is zero.',
  ]);
});

test('a cell that its model rules out shows the reason, as far as the worker has told it', async () => {
  const cells = resolvedCells(experimentOfText(readFileSync(file, 'utf8'), file));
  const { key } = cells.at(-1)!;
  const { table: told } = await matrixOf(file, runs(), { reasons: { [key]: 'the model has 3 heads.' } });
  assert.equal(told?.rows.at(-1)?.cells.at(-1)?.status, 'empty');
  assert.ok(
    notesOf(told!, strings).some((note) =>
      note.endsWith('1 of 6 seeds without numbers: the model has 3 heads.'),
    ),
  );
});

test('a cell without numbers has the word that its run has everywhere', async () => {
  const path = join(table.rows.find(({ method }) => method === 'gptq')!.cells[0]!.run!, 'run.json');
  const record = readFileSync(path, 'utf8');
  for (const status of ['paused', 'cancelled', 'interrupted']) {
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(record) as object), status, error: null }));
    const isIt = ({ method, bits }: { method: string; bits: string }) =>
      method === 'gptq' && bits === '4-8-16';
    const now = await tableAt(null);
    assert.equal(cellText(now.rows.find(isIt)!, 0, now.columns, strings), status);
    const printed = tableOf(await collectCells(experimentOfText(readFileSync(file, 'utf8'), file)));
    assert.equal(printed.rows.find(isIt)!.note, status);
  }
  writeFileSync(path, record);
});

test('seconds are those of learning, rounding and evaluation, from the events', async () => {
  const secondsOf = (method: string) =>
    table.rows.find((row) => row.method === method && row.bits === '4-4-4')?.cells[0]?.seconds;
  const memory = table.rows.map(({ cells }) => cells[0]?.peakBytes);
  assert.deepEqual([...new Set(memory)].sort(), [15 * 2 ** 30, 21 * 2 ** 30, null], 'GPTQ failed once');
  assert.equal(secondsOf('rtn'), 41);
  // Six layers at 9.5 s besides the evaluation.
  assert.equal(secondsOf('gptq'), 310 + 6 * 9.5);
  assert.equal(table.rows.find(({ isFull }) => isFull)?.cells[0]?.seconds, 38);
});

test('average bits stand beside a row with exceptions, which are told below', async () => {
  const isIt = ({ method, bits }: { method: string; bits: string }) => method === 'rtn' && bits === '4-4-4';
  const before = table.rows.find(isIt)!;
  assert.deepEqual([averageBitsText(before), table.exceptions], ['–', []]);
  const run = await openRun(before.cells[0]!.run!);
  const [results, settings] = [run.path('results'), run.path('experiment')].map(
    (path) => [path, readFileSync(path, 'utf8')] as const,
  );
  const change = ([path, text]: readonly [string, string], to: (json: Settings) => object) =>
    writeFileSync(path, JSON.stringify(to(JSON.parse(text) as Settings)));
  change(results!, (json) => ({ ...json, averageBits: { mixed: 4.25, uniform: 4 } }));
  const exceptions = [{ layers: [0, 1, 3], keys: { bits: 8 } }];
  change(settings!, (json) => ({ ...json, quantization: { ...json.quantization, exceptions } }));
  const after = await tableAt(null);
  const row = after.rows.find(isIt)!;
  assert.equal(averageBitsText(row), '4.250');
  assert.deepEqual(after.exceptions, ['RTN at 4-4-4: 4.250 bits on average: keys 8 in layers 0-1 3.']);
  const bitsOf = (shown: MatrixTable) =>
    paretoPoints(viewOf(shown), 'mean-bits').find(({ name, bits }) => name === 'RTN' && bits === '4-4-4')!
      .cost;
  assert.equal(bitsOf(after) - bitsOf(table), 0.25);
  for (const [path, text] of [results!, settings!]) writeFileSync(path, text);
});

test('every spec compiles without a word, on the page and as a file; its data are those that it names', async () => {
  const specs = IDS.flatMap((id) => {
    const page = PICTURES[id].draw(viewOf(table), theme, false);
    const file = PICTURES[id].draw(viewOf(table), theme, true);
    assert.equal(page.empty, '', id);
    const named = [...JSON.stringify(page.model.spec).matchAll(/"data":\{"name":"(\w+)"\}/g)].map(
      ([, name]) => name,
    );
    assert.deepEqual(new Set(named), new Set(Object.keys(page.model.data)), id);
    const parameters = JSON.stringify(page.model.spec);
    for (const signal of Object.keys(page.model.signals))
      assert.ok(parameters.includes(`"${signal}"`), signal);
    return [page.model.spec, standaloneSpec(file.model, { text: id, subtitle: file.about }, theme)];
  });
  assert.deepEqual(compileWarnings(specs), []);
});

test('a file has its data, the present ends of its axes, a title and a background', async () => {
  const { model, about } = PICTURES.bits.draw(viewOf(table), theme, true);
  const spec = standaloneSpec(model, { text: 'Quality', subtitle: about }, theme) as unknown as {
    datasets: unknown;
    params: readonly { name: string; value: unknown }[];
    title: { text: string };
    background: string;
  };
  assert.deepEqual(spec.datasets, model.data);
  for (const { name, value } of spec.params) assert.deepEqual(value, model.signals[name] ?? value);
  assert.deepEqual([spec.title.text, spec.background], ['Quality', theme.background]);
  assert.match(JSON.stringify(spec), /"legend":\{"orient":"bottom"/);
  assert.doesNotMatch(JSON.stringify(PICTURES.bits.draw(viewOf(table), theme, false)), /"orient"/);
});

test('a strip for each row of several seeds; quantiles lie between neighbours in proportion', async () => {
  const strips = stripsOf(viewOf(table));
  assert.deepEqual(
    strips.map(({ name, values }) => [name, values.length]),
    [
      ['Random rotation + RTN', 6],
      ['Random Hadamard R1–R4 + RTN', 6],
      ['SpinQuant had + RTN', 6],
      ['SpinQuant had + GPTQ', 3],
    ],
  );
  const { data } = PICTURES.spread.draw(viewOf(table), theme, false).model;
  assert.equal(data.points?.length, 21);
  assert.equal(data.boxes?.length, 3, 'three values make no box');
  assert.equal(quantile([1, 2, 4, 8], 0.5), 3);
  assert.equal(quantile([1, 2, 4, 8], 0.25), 1.75);
  assert.equal(quantile([5], 0.75), 5);
});

test('the front is what nothing beats: nothing on it is beaten, and all beside it is', async () => {
  for (const cost of ['seconds', 'mean-bits'] as const) {
    const points = paretoPoints(viewOf(table), cost);
    const front = points.filter(({ onFront }) => onFront);
    assert.ok(front.length > 1 && front.length < points.length, cost);
    for (const point of points) {
      const beaten = front.some(
        (other) =>
          other.cost <= point.cost &&
          other.value <= point.value &&
          (other.cost < point.cost || other.value < point.value),
      );
      assert.equal(beaten, !point.onFront, `${cost} ${point.name} ${point.bits}`);
    }
  }
  assert.equal(meanBits('4-8-16'), 28 / 3);
  assert.equal(meanBits('4-4-K'), null);
});

test('of accuracies the higher ones are the better ones', async () => {
  const columns = table.columns.map(({ name }) => ({ name, metric: 'accuracy' as const }));
  const low = paretoPoints(viewOf(table), 'seconds').find(({ name }) => name === 'RTN')!;
  const high = paretoPoints(viewOf({ ...table, columns }), 'seconds').find(({ name }) => name === 'RTN')!;
  assert.deepEqual([low.value, low.onFront], [148.2, true], 'the cheapest');
  assert.ok(high.onFront);
  const others = paretoPoints(viewOf({ ...table, columns }), 'seconds').filter(({ name }) => name !== 'RTN');
  assert.ok(
    others.every(({ onFront }) => !onFront),
    'RTN has the highest number for the least time',
  );
});

test('depth: errors of activations are 10^(−SQNR/10) of the file; weights have theirs from the events', async () => {
  const row = table.rows.find(({ method, bits }) => method === 'spinquant-had-rtn' && bits === '4-4-4')!;
  const { sites } = await (await openRun(row.cells[0]!.run!)).readActivations();
  const depth = table.depth.find(({ method }) => method === 'spinquant-had-rtn')!;
  for (const site of SITES) {
    const records = sites.filter((record) => record.site === site);
    assert.deepEqual(
      depth.kurtosis[site]?.after,
      records.map(({ after }) => after.kurtosis),
    );
    const { sqnrDb } = records[0]!.before;
    if (sqnrDb === null) assert.equal(depth.error[site], undefined);
    else assert.equal(depth.error[site]?.before[0], 10 ** (-sqnrDb / 10));
  }
  const view = viewOf(table);
  const names = (measure: DepthMeasure) => linesOf(view, measure, theme).map(({ series }) => series.name);
  assert.equal(names('kurtosis')[0], 'before rotation');
  assert.equal(names('kurtosis').length, 5, 'one before, four after');
  assert.deepEqual(names('output-error'), [
    'GPTQ, to nearest',
    'GPTQ',
    'SpinQuant had + GPTQ, to nearest',
    'SpinQuant had + GPTQ',
  ]);
  const gptq = table.depth.find(({ method }) => method === 'gptq')!;
  for (const linear of LINEARS) assert.equal(gptq.outputError[linear]?.after.length, 6);
});

test('depth of weights: the numbers of the file, and the mean of the seven of each block', async () => {
  const row = table.rows.find(({ method, bits }) => method === 'spinquant-had-rtn' && bits === '4-4-4')!;
  const { weights = [] } = await (await openRun(row.cells[0]!.run!)).readActivations();
  const depth = table.depth.find(({ method }) => method === 'spinquant-had-rtn')!;
  for (const linear of LINEARS) {
    const records = weights.filter((record) => record.linear === linear);
    assert.deepEqual(
      depth.weightKurtosis[linear]?.before,
      records.map(({ before }) => before.kurtosis),
    );
    assert.equal(depth.weightError[linear]?.after[2], 10 ** (-records[2]!.after.sqnrDb! / 10));
  }
  const sum = LINEARS.reduce((all, linear) => all + depth.weightError[linear]!.after[5]!, 0);
  assert.ok(Math.abs(depth.weightError.mean!.after[5]! - sum / 7) < 1e-15);
  const view = viewOf(table, { linear: 'mean' });
  const { about, model } = PICTURES['weight-kurtosis'].draw(view, theme, false);
  assert.match(about, /of all linear layers \(mean\) at 4-4-4/);
  assert.equal(model.note, '');
});

test('weights on other grids have a line of before each; on one grid all share it', () => {
  const names = (depth: MatrixTable['depth']) =>
    linesOf(viewOf({ ...table, depth }), 'weight-error', theme).map(({ series }) => series.name);
  const [first, second] = table.depth.filter(({ weightError }) => weightError.down);
  assert.deepEqual(
    names([first!, second!]).filter((name) => name.includes('before')),
    ['before rotation'],
  );
  const { down } = second!.weightError;
  const finer = { down: { ...down!, before: down!.before.map((value) => value! / 2) } };
  assert.deepEqual(
    names([first!, { ...second!, weightError: finer }]).filter((name) => name.includes('before')),
    [`${first!.title}, before`, `${second!.title}, before`],
  );
});

test('statistics of an earlier version show activations, and say that they lack weights', () => {
  const none = { weightKurtosis: {}, weightError: {}, lacksWeights: true };
  const [first, ...others] = table.depth.filter(({ kurtosis }) => kurtosis.key);
  const olderOne = viewOf({ ...table, depth: [{ ...first!, ...none }, ...others] });
  const olderAll = viewOf({ ...table, depth: table.depth.map((row) => ({ ...row, ...none })) });
  assert.equal(PICTURES.kurtosis.draw(olderAll, theme, false).empty, '');
  for (const id of ['weight-kurtosis', 'weight-error'] as const) {
    const { empty, model } = PICTURES[id].draw(olderOne, theme, false);
    assert.equal(empty, '');
    assert.match(model.note, new RegExp(`have activations only: ${first!.title.replace(/[+]/g, '.')}\\.`));
    assert.match(PICTURES[id].draw(olderAll, theme, false).empty, /have activations only/);
  }
});

test('published values of the model of these sizes, with the doubts', () => {
  const rowAt = (method: string, bits: string) =>
    table.rows.find((row) => row.method === method && row.bits === bits)?.published;
  assert.deepEqual(table.published?.metrics, ['accuracy', 'perplexity']);
  assert.match(table.published?.notes[0] ?? '', /^Published values are of LLaMA-2-7B: Liu et al\./);
  assert.deepEqual(rowAt('spinquant-had-gptq', '4-4-4'), [
    { text: '64', doubt: null },
    { text: '5.9', doubt: null },
  ]);
  assert.equal(rowAt('rtn', '4-4-4')?.[1]?.text, '2e3', 'as it was printed');
  const [, perplexity] = rowAt('gptq', '4-8-16') ?? [];
  assert.equal(perplexity?.text, '20.2');
  assert.match(perplexity?.doubt ?? '', /Far above RTN/);
  assert.deepEqual(
    rowAt('random-had-rtn', '4-8-16'),
    [null, null],
    'the paper has no such row at these bits',
  );
});

test('a row has one sign in all pictures; beyond six rows colours come again with other shapes', async () => {
  const signs = new Map<string, string>();
  for (const id of IDS)
    for (const { name, color, shape, filled } of PICTURES[id].draw(viewOf(table), theme, false).legend) {
      if (!filled) continue;
      assert.equal(signs.get(name) ?? `${color} ${shape}`, `${color} ${shape}`, `${id} ${name}`);
      signs.set(name, `${color} ${shape}`);
    }
  const [full, ...rows] = table.rows;
  const many = Array.from({ length: 30 }, (_, index) => ({
    ...rows[0]!,
    ...{ method: `m${index}`, title: `Method ${index}` },
  }));
  const { legend } = PICTURES.bits.draw(viewOf({ ...table, rows: [full!, ...many] }), theme, false);
  assert.equal(new Set(legend.map(({ color, shape }) => `${color} ${shape}`)).size, 30);
});

test('where nothing was measured a picture says what to do', async () => {
  const table = await tableAt('4-8-16');
  const emptyOf = (id: PictureId) => PICTURES[id].draw(viewOf(table), theme, false).empty;
  assert.equal(table.bits, '4-8-16');
  assert.equal(
    emptyOf('kurtosis'),
    'No cell at 4-8-16 has activation statistics. 25 of 26 runs there are done; Fill table computes the others.',
  );
  const off = viewOf({ ...table, statistics: false });
  assert.match(PICTURES.kurtosis.draw(off, theme, false).empty, / Set matrix\.statistics to true\.$/);
  assert.equal(emptyOf('output-error'), '', 'SpinQuant had + GPTQ reports errors there, too');
  const bare = { ...table, rows: table.rows.map((row) => ({ ...row, values: [null, null] })), depth: [] };
  for (const id of IDS) assert.notEqual(PICTURES[id].draw(viewOf(bare), theme, false).empty, '', id);
});

test('every picture has a table of the same numbers, and words for those who do not see it', async () => {
  for (const id of IDS) {
    const view = viewOf(table, { column: 1 });
    const { rows, columns, caption } = PICTURES[id].table(view);
    const { summary } = PICTURES[id].draw(view, theme, false).model;
    assert.ok(rows.length > 0 && rows.every((row) => row.length === columns.length), id);
    assert.ok(caption.startsWith(strings.titles[id]) && summary.startsWith(strings.titles[id]), id);
    assert.match(summary, /SpinQuant had \+ (RTN|GPTQ)/, id);
  }
});
