/** The points that searches find are the nearest of the whole codebook, written down from its definition. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestE8, nearestE8P, TRIPLES } from '../../src/engine/rounding/quip/e8p.ts';
import { noise } from '../helpers/tiny-network.ts';
import { e8Points, e8pPoints } from './lattice-books.ts';

/** A search in float32 may miss a point that is nearer by the roundings of its about 30 operations on numbers below 64. */
const SLACK = 30 * 64 * 2 ** -24;

type Search = (x: Float32Array, point: Float32Array) => void;

function distance(x: Float32Array, points: Float64Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < 8; i++) sum += (x[i]! - points[8 * at + i]!) ** 2;
  return sum;
}

const namesOf = (points: Float64Array): Set<string> =>
  new Set(Array.from({ length: points.length / 8 }, (_, at) => points.subarray(8 * at, 8 * at + 8).join()));

function compare(search: Search, points: Float64Array, names: ReadonlySet<string>, x: Float32Array): void {
  let least = Infinity;
  for (let at = 0; at < points.length / 8; at++) least = Math.min(least, distance(x, points, at));
  const found = new Float32Array(8);
  search(x, found);
  assert.ok(names.has(found.join()), `[${found}] is no point of the book`);
  const off = x.reduce((sum, value, i) => sum + (value - found[i]!) ** 2, 0);
  assert.ok(off <= least + SLACK, `[${x}]: [${found}] is off by ${off}, not ${least}`);
}

/** Gaussian numbers of some size: inside the book, at its edge and beyond it. */
function* vectors(count: number): Generator<Float32Array> {
  const uniform = noise(7);
  const gaussian = (): number =>
    Math.sqrt(-2 * Math.log(Math.abs(uniform()) + 1e-9)) * Math.cos(Math.PI * uniform());
  for (let i = 0; i < count; i++) {
    const size = [0.3, 1, 1.7, 3][i % 4]!;
    yield Float32Array.from({ length: 8 }, () => size * gaussian());
  }
  yield new Float32Array(8);
  yield new Float32Array(8).fill(1);
  yield new Float32Array(8).fill(-1.5);
  yield Float32Array.of(1.5, 1.5, 1.5, 1.5, 1.5, 0.5, 0.5, 0.5);
  yield Float32Array.of(-9, 0, 0, 0, 0, 0, 0, -9);
}

test('29 patterns of norm 12 are different, and every coordinate is ½ in some and 3/2 in some', () => {
  assert.equal(TRIPLES.length, 29);
  assert.equal(new Set(TRIPLES.map(String)).size, 29);
  for (let i = 0; i < 8; i++) {
    const halves = TRIPLES.filter((triple) => triple.includes(i)).length;
    assert.ok(halves > 5 && halves < 17, `${i} is ½ in ${halves}`);
  }
});

test('E8P has 65 536 different points, and the search finds the nearest', () => {
  const points = e8pPoints(TRIPLES);
  const names = namesOf(points);
  assert.equal(points.length, 8 * 65536);
  assert.equal(names.size, 65536);
  for (const x of vectors(200)) compare(nearestE8P, points, names, x);
});

test('the book of one bit has 256 different points, and the search finds the nearest', () => {
  const points = e8Points();
  const names = namesOf(points);
  assert.equal(points.length, 8 * 256);
  assert.equal(names.size, 256);
  for (const x of vectors(4000)) compare(nearestE8, points, names, x);
});

test('a point is its own nearest', () => {
  const points = e8pPoints(TRIPLES);
  const found = new Float32Array(8);
  for (let at = 0; at < 65536; at += 7) {
    const point = Float32Array.from(points.subarray(8 * at, 8 * at + 8));
    nearestE8P(point, found);
    assert.deepEqual(found, point);
  }
});
