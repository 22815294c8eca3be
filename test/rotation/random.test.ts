import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Rng } from '../../src/engine/rotation/random.ts';

describe('Rng', () => {
  it('is xoshiro128**: the published outputs from state 1, 2, 3, 4', () => {
    const rng = new Rng({ key: [0, 0, 0, 0], words: [1, 2, 3, 4] });
    const expected = [
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ];
    assert.deepEqual(
      expected.map(() => rng.uint32()),
      expected,
    );
  });

  it('goes on from a saved state, through JSON', () => {
    const rng = new Rng(7);
    for (let i = 0; i < 100; i++) rng.uniform();
    const copy = new Rng(JSON.parse(JSON.stringify(rng.state)));
    assert.deepEqual(copy.fillNormal(new Float64Array(9)), rng.fillNormal(new Float64Array(9)));
    assert.equal(copy.split('x').uint32(), rng.split('x').uint32());
  });

  it('splits by name, whatever was drawn before', () => {
    const rng = new Rng(3);
    const before = rng.split('data').uint32();
    rng.uint32();
    assert.equal(rng.split('data').uint32(), before);
    const labels = [0, 1, 2, '0', 'data', 'R1', 'R2', ''];
    const seeds = [-1, 0, 1, 2, 2 ** 32, 2 ** 40 + 1];
    const firsts = seeds.flatMap((seed) => [
      new Rng(seed).uint32(),
      ...labels.map((label) => new Rng(seed).split(label).uint32()),
    ]);
    assert.equal(new Set(firsts).size, firsts.length);
  });

  it('refuses bad seeds and states', () => {
    assert.throws(() => new Rng(0.5), RangeError);
    assert.throws(() => new Rng({ key: [1, 2, 3, 4], words: [0, 0, 0, 0] }), RangeError);
    assert.throws(() => new Rng({ key: [1, 2, 3, 4], words: [1, -2, 3, 4] }), RangeError);
  });

  it('draws signs, integers and uniforms evenly', () => {
    const rng = new Rng(0);
    const draws = 60_000;
    const counts = new Float64Array(6);
    let signs = 0;
    let mean = 0;
    for (let i = 0; i < draws; i++) {
      counts[rng.integer(6)]! += 1;
      signs += rng.sign();
      mean += rng.uniform() / draws;
    }
    // Five standard deviations each.
    for (const count of counts) assert.ok(Math.abs(count - draws / 6) < 5 * Math.sqrt((draws * 5) / 36));
    assert.ok(Math.abs(signs) < 5 * Math.sqrt(draws));
    assert.ok(Math.abs(mean - 0.5) < 5 / Math.sqrt(12 * draws));
  });

  it('draws normals with the moments of a standard normal', () => {
    const draws = 100_000;
    const x = new Rng(1).fillNormal(new Float64Array(draws));
    const moment = (power: number) => x.reduce((sum, value) => sum + value ** power, 0) / draws;
    // The p-th sample moment has variance (E[x^2p] − E[x^p]²)/draws: 1, 2, 15, 96 for p = 1 … 4.
    for (const [power, mean, variance] of [
      [1, 0, 1],
      [2, 1, 2],
      [3, 0, 15],
      [4, 3, 96],
    ] as const) {
      assert.ok(Math.abs(moment(power) - mean) < 5 * Math.sqrt(variance / draws), `moment ${power}`);
    }
    let neighbours = 0;
    for (let i = 0; i + 1 < draws; i++) neighbours += x[i]! * x[i + 1]!;
    assert.ok(Math.abs(neighbours) < 5 * Math.sqrt(draws));
  });
});
