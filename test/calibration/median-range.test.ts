import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamingMedianRange } from '../../src/engine/calibration/statistics/median-range.ts';

const QUANTIZER = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: false };

/** Adds every `size` values in a row as one range. */
function add(stream: StreamingMedianRange, rows: Float32Array, size: number): void {
  const parts = Array.from({ length: rows.length / size }, (_, part) =>
    rows.subarray(part * size, (part + 1) * size),
  );
  const each = (of: (...values: number[]) => number) => Float32Array.from(parts, (part) => of(...part));
  stream.add(each(Math.min), each(Math.max));
}

/** The range that the definition names, over everything at once. */
function medianOf(rows: Float32Array, size: number, width: (low: number, high: number) => number) {
  const ranges = Array.from({ length: rows.length / size }, (_, part) => {
    const values = rows.subarray(part * size, (part + 1) * size);
    return { min: Math.min(...values), max: Math.max(...values) };
  });
  ranges.sort((a, b) => width(a.min, a.max) - width(b.min, b.max));
  return ranges[(ranges.length - 1) >> 1]!;
}

/** Tokens of very different sizes, none of them around zero. */
function sample(tokens: number, channels: number): Float32Array {
  let state = 7;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: tokens }, () => 4 * uniform() ** 3).reduce(
    (rows, size, token) => {
      for (let channel = 0; channel < channels; channel++)
        rows[token * channels + channel] = size * (uniform() + 0.5);
      return rows;
    },
    new Float32Array(tokens * channels),
  );
}

test('the median step is that of the quantizer: symmetric or not, with zero or without, by token or group', () => {
  const [tokens, channels] = [101, 12];
  const rows = sample(tokens, channels);
  const cases = [
    [{}, channels, (low: number, high: number) => high - low],
    [{ includeZero: true }, channels, (low: number, high: number) => Math.max(high, 0) - Math.min(low, 0)],
    [{ symmetric: true }, channels, (low: number, high: number) => Math.max(Math.abs(low), Math.abs(high))],
    [{ group: 4 }, 4, (low: number, high: number) => high - low],
  ] as const;
  const found = cases.map(([change, size, width]) => {
    const stream = new StreamingMedianRange({ ...QUANTIZER, ...change });
    add(stream, rows.subarray(0, 40 * channels), size);
    add(stream, rows.subarray(40 * channels), size);
    assert.deepEqual(stream.result(), medianOf(rows, size, width), JSON.stringify(change));
    return stream.result()!;
  });
  assert.notDeepEqual(found[0], found[1]);
  assert.notDeepEqual(found[0], found[3]);
});

test('a long stream: the median of a part of it lies in the middle of all', () => {
  const [tokens, channels] = [50_000, 3];
  const rows = sample(tokens, channels);
  const stream = new StreamingMedianRange(QUANTIZER);
  for (let from = 0; from < tokens; from += 1000)
    add(stream, rows.subarray(from * channels, (from + 1000) * channels), channels);
  const { min, max } = stream.result()!;
  const narrower = Array.from({ length: tokens }, (_, token) => {
    const values = rows.subarray(token * channels, (token + 1) * channels);
    return Math.max(...values) - Math.min(...values) < max - min;
  }).filter(Boolean).length;
  // At least 2048 are kept: three standard errors of a median's rank are 3 · 0.5 / √2048.
  assert.ok(Math.abs(narrower / tokens - 0.5) < 1.5 / Math.sqrt(2048), `${narrower} of ${tokens}`);
});

test('no tokens, no range', () => {
  assert.equal(new StreamingMedianRange(QUANTIZER).result(), null);
});
