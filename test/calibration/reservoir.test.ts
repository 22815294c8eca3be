/** What each map is learned on: rows of the heads that it turns, and no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CapturedRows, MapReservoirs } from '../../src/engine/calibration/reservoir.ts';
import { seamOf } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

const { layers, heads, kvHeads, headDim: h } = TINY_CONFIG;
const SEAM = seamOf('value', TINY_CONFIG);
const TOKENS = 5;

/** Rows of a layer at both sites: values [T, G·h], and mixed values [T, H·h]. */
const sites = [kvHeads, heads].map((rowsOfToken, site) => ({
  rowsOfToken,
  layers: Array.from({ length: layers }, (_, layer) => {
    const rng = new Rng(10 * layer + site);
    return Float32Array.from({ length: TOKENS * rowsOfToken * h }, () => (1 + layer + site) * rng.normal());
  }),
}));

const rowsOf = ({ width, count, rows }: CapturedRows): string[] =>
  Array.from({ length: count }, (_, row) => rows.subarray(row * width, (row + 1) * width).join());

/** By loops: rows of the query heads `first` to `last`, scaled to RMS 1 together. */
function expectedRows(values: Float32Array, rowsOfToken: number, first: number, last: number): string[] {
  const found: number[][] = [];
  for (let token = 0; token < TOKENS; token++)
    for (let head = first; head < last; head++) {
      const from = (token * rowsOfToken + head) * h;
      found.push(Array.from(values.subarray(from, from + h)));
    }
  const square = found.flat().reduce((sum, value) => sum + value * value, 0);
  const factor = Math.sqrt((found.length * h) / square);
  return found.map((row) => Float32Array.from(row, (value) => value * factor).join());
}

for (const groups of [1, kvHeads]) {
  test(`${groups} maps of a layer: each is learned on the rows of its heads at both sites`, () => {
    const perLayer = TOKENS * (kvHeads + heads);
    const reservoirs = new MapReservoirs(SEAM, groups, perLayer, new Rng(1));
    for (let layer = 0; layer < layers; layer++)
      for (const site of sites) reservoirs.add(layer, site.layers[layer]!, site.rowsOfToken, []);
    const found = reservoirs.results();
    assert.equal(found.length, layers * groups);
    found.forEach((captured, index) => {
      const [layer, group] = [Math.floor(index / groups), index % groups];
      const expected = sites.flatMap(({ rowsOfToken, layers: own }) => {
        const count = rowsOfToken / groups;
        return expectedRows(own[layer]!, rowsOfToken, group * count, (group + 1) * count);
      });
      assert.deepEqual(rowsOf(captured).sort(), expected.sort(), `map ${index}`);
    });
  });
}

test('rows that another rank adds draw the same places', () => {
  const [own, other, whole] = [0, 1, 2].map(() => new MapReservoirs(SEAM, kvHeads, 20, new Rng(1)));
  const [first, second] = sites[1]!.layers as [Float32Array, Float32Array];
  for (const [which, reservoirs] of [own!, other!].entries())
    for (const [turn, values] of [first, second].entries())
      if (turn === which) reservoirs.add(0, values, heads, []);
      else reservoirs.skip(0, TOKENS * heads);
  for (const values of [first, second]) whole!.add(0, values, heads, []);
  const [a, b, all] = [own!, other!, whole!].map((reservoirs) => reservoirs.results()[1]!);
  assert.deepEqual(
    a!.rows.map((value, i) => value + b!.rows[i]!),
    all!.rows,
  );
});

test('the row of a token that counts more often stands so often in what is learned on', () => {
  const seam = seamOf('residual', TINY_CONFIG);
  const rng = new Rng(7);
  const values = Float32Array.from({ length: TOKENS * seam.width }, () => rng.normal());
  const times = [4, 1, 1, 3, 1];
  const total = times.reduce((sum, count) => sum + count, 0);
  const reservoirs = new MapReservoirs(seam, 1, total, new Rng(1));
  reservoirs.add(0, values, 1, times);
  const factor = Math.sqrt(values.length / values.reduce((sum, value) => sum + value * value, 0));
  const expected = times.flatMap((count, token) => {
    const row = values.subarray(token * seam.width, (token + 1) * seam.width);
    return Array.from({ length: count }, () => Float32Array.from(row, (value) => value * factor).join());
  });
  assert.deepEqual(rowsOf(reservoirs.results()[0]!).sort(), expected.sort());
});
