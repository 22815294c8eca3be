/** Axes of a table's pictures: what is far stands above them, and what is empty says what it waits for. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import type { MatrixTable } from '../../src/protocol/panels/matrix.ts';
import { matrixStrings } from '../../src/protocol/panels/matrix-strings.ts';
import { PICTURES } from '../../webview/results/matrix/pictures.ts';
import type { PictureView } from '../../webview/results/matrix/view.ts';
import { themeFrom } from '../../webview/shared/theme.ts';
import { matrixOf } from './states.ts';

const strings = matrixStrings((text) => text);
const theme = themeFrom(() => '', false);

let root: string;
let table: MatrixTable;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'spinquant-axes-'));
  const runs = join(root, '.spinquant', 'runs');
  const part = await matrixOf(makeMatrix(runs), runs);
  assert.ok(part.table);
  table = part.table;
});
after(() => rm(root, { recursive: true }));

const viewOf = (shown: MatrixTable): PictureView => ({
  ...{ table: shown, strings, column: 0, site: 'down-input', linear: 'down' },
});

/** The table with other means at its rows besides full precision, one after the other. */
function withMeans(means: readonly (number | null)[], deviation = 0): MatrixTable {
  const rows = table.rows.slice(0, means.length + 1).map((row, index) => {
    const value = { mean: means[index - 1] ?? null, deviation, n: 1, best: false };
    return row.isFull ? row : { ...row, bits: '4-4-4', values: [value, null] };
  });
  return { ...table, rows };
}

test('error bars stay on a logarithmic axis', () => {
  const wide = withMeans([6.4, 9, 15, 25], 8);
  const { data, signals } = PICTURES.bits.draw(viewOf(wide), theme, false).model;
  assert.equal(data.bars?.length, 4);
  for (const { least, largest } of data.bars ?? []) {
    assert.ok(Number(least) > 0 && Number(least) < Number(largest), `${least} to ${largest}`);
    assert.ok(Number(least) >= Number(signals.yMin) && Number(largest) <= Number(signals.yMax));
  }
});

test('what is far beyond all others stands above the axis with its value, and leaves them their room', () => {
  const one = PICTURES.bits.draw(viewOf(withMeans([6.4, 6.6, 1e5, 40, 7.1, 300])), theme, false);
  const [from, to] = [Number(one.model.signals.yMin), Number(one.model.signals.yMax)];
  assert.ok(from >= 5 && to < 20, `40 and more are beyond an axis from ${from} to ${to}`);
  const ticks = one.model.signals.yTicks as readonly number[];
  assert.ok(ticks.at(-1)! < to, 'the band has no ticks');
  const far = one.model.data.far ?? [];
  assert.deepEqual(
    far.map(({ label }) => label),
    ['↑\u20091.00e+5', '↑\u200940.000', '↑\u2009300.0'],
  );
  const order = [...far].sort((a, b) => Number(b.value) - Number(a.value)).map(({ label }) => label);
  assert.deepEqual(
    order,
    ['↑\u20091.00e+5', '↑\u2009300.0', '↑\u200940.000'],
    'larger ones above smaller ones',
  );
  for (const { value } of far) assert.ok(Number(value) > ticks.at(-1)! && Number(value) < to);
  assert.match(one.about, /↑ stands before a value beyond the axis$/);
  assert.match(one.model.summary, /RTN: 1\.00e\+5 at 4-4-4/);
  for (const cost of ['seconds', 'mean-bits'] as const) {
    const { front = [], far: others = [] } = PICTURES[cost].draw(
      viewOf(withMeans([1e5, 6.4, 6.6])),
      theme,
      false,
    ).model.data;
    assert.equal(others.length, 1, cost);
    assert.ok(
      front.every(({ value }, index) => index === 0 || Number(value) <= Number(front[index - 1]!.value)),
    );
  }
});

test('values in an even progression are all on the axis; what overflows never is; shares cannot be far', () => {
  const farOf = (view: PictureView) => PICTURES.bits.draw(view, theme, false).model.data.far ?? [];
  const even = viewOf(withMeans([7, 14, 28, 56, 112, 224]));
  assert.deepEqual(farOf(even), []);
  assert.deepEqual(
    PICTURES.bits.draw(even, theme, false).model.signals.yTicks,
    [5, 10, 20, 50, 100, 200, 500],
  );
  assert.deepEqual(
    farOf(viewOf(withMeans([7, 300, 400, 500]))),
    [],
    'most of them: they are what is compared',
  );
  assert.deepEqual(
    farOf(viewOf(withMeans([7, null, 8]))).map(({ label }) => label),
    ['↑\u2009> 1e308'],
  );
  const columns = table.columns.map(({ name }) => ({ name, metric: 'accuracy' as const }));
  assert.deepEqual(farOf(viewOf({ ...withMeans([60, 5, 61, 62]), columns })), []);
});

test('a picture of seeds that is empty says whether seeds are to be listed, or runs to be done', () => {
  const emptyWith = (seeds: number, seeded: boolean, done: number) => {
    const rows = table.rows.map((row) => ({
      ...row,
      values: row.values.map((value) => value && { ...value, deviation: null, n: 1 }),
      cells: row.cells.slice(0, seeds).map((cell, index) => ({
        ...cell,
        ...{ seeded, values: index < done ? cell.values : [] },
        status: index < done ? ('finished' as const) : ('missing' as const),
      })),
    }));
    return PICTURES.spread.draw(viewOf({ ...table, rows }), theme, false).empty;
  };
  const none = 'No row at 4-4-4 has numbers of several seeds.';
  assert.equal(emptyWith(1, true, 1), `${none} List several in matrix.seeds.`);
  assert.equal(emptyWith(1, false, 1), `${none} None of them draws by a seed.`);
  assert.equal(emptyWith(3, true, 1), `${none} 4 of 12 runs there are done; Fill table computes the others.`);
});
