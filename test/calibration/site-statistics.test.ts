import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gather } from '../../src/engine/calibration/statistics/observe-layer.ts';
import { StreamingStatistics } from '../../src/engine/calibration/statistics/site-statistics.ts';
import { summarize } from '../../src/engine/calibration/statistics/summary.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith } from '../formats/support.ts';

/** Two batches of [tokens, 2]; the second is ten times larger, so the axis must grow and old counts must merge. */
const FIRST = Float32Array.of(1, -2, 0.5, 0.25);
const SECOND = Float32Array.of(-20, 3, 10, -1);
const QUANTIZER = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

test('histogram, channel maxima, moments and SQNR of a stream', () => {
  const stream = new StreamingStatistics(QUANTIZER);
  for (const batch of [FIRST, SECOND]) {
    const [a, b, c, d] = batch as unknown as [number, number, number, number];
    stream.add(summarize(batch, 2, 0.5));
    stream.addRanges(
      Float32Array.of(Math.min(a, b), Math.min(c, d)),
      Float32Array.of(Math.max(a, b), Math.max(c, d)),
    );
  }
  const { histogram, channelMaxima, kurtosis, sqnrDb, rms, maxAbs, tokens, medianRange } = stream.result(
    stream.limit,
  );
  const all = [...FIRST, ...SECOND];
  const mean = all.reduce((a, b) => a + b) / all.length;
  const central = (power: number) => all.reduce((sum, x) => sum + (x - mean) ** power, 0) / all.length;
  assert.deepEqual(channelMaxima, [20, 3]);
  assert.equal(maxAbs, 20);
  assert.equal(tokens, 4);
  // Ranges of the tokens with zero in them: 3, 0.5, 23, 11; of the two in the middle, the narrower.
  assert.deepEqual(medianRange, { min: -2, max: 1 });
  assert.ok(Math.abs(kurtosis - central(4) / central(2) ** 2) < 1e-12);
  const power = all.reduce((sum, x) => sum + x * x, 0);
  assert.ok(Math.abs(rms - Math.sqrt(power / all.length)) < 1e-12);
  assert.ok(Math.abs(sqnrDb! - 10 * Math.log10(power / 1)) < 1e-12);
  assert.equal(histogram.max, 32, 'the axis grows from 4 to the next power of two above 20');
  assert.equal(histogram.min, -32);
  const width = (histogram.max - histogram.min) / histogram.counts.length;
  for (let bin = 0; bin < histogram.counts.length; bin++) {
    const low: number = histogram.min + bin * width;
    const expected: number = all.filter((x) => x >= low && x < low + width).length;
    assert.equal(histogram.counts[bin], expected, `bin from ${low}`);
  }
});

test('a value that is a power of two lies inside of the axis; a longer axis keeps all counts', () => {
  const stream = new StreamingStatistics(null);
  stream.add(summarize(Float32Array.of(4, -4, -0.01), 3, null));
  assert.equal(stream.limit, 8);
  const { histogram, sqnrDb, medianRange } = stream.result(stream.limit);
  // Bins are 1/8 wide, the one from 0 is number 64.
  const filled = (counts: readonly number[]) => counts.flatMap((count, bin) => (count > 0 ? [bin] : []));
  assert.deepEqual(filled(histogram.counts), [32, 63, 96]);
  assert.deepEqual(filled(stream.result(64).histogram.counts), [60, 63, 68]);
  assert.equal(sqnrDb, null, 'nothing is quantized');
  assert.equal(medianRange, null);
});

test('nothing but zeros has an axis, and no kurtosis', () => {
  const stream = new StreamingStatistics(null);
  stream.add(summarize(new Float32Array(6), 3, null));
  const { histogram, kurtosis, maxAbs, tokens } = stream.result(stream.limit);
  assert.ok(histogram.max > 0 && histogram.max < 1e-29);
  assert.equal(histogram.counts[64], 6);
  assert.deepEqual([kurtosis, maxAbs, tokens], [0, 0, 2]);
});

test('an infinite value does not stop the work', () => {
  const stream = new StreamingStatistics(null);
  for (const value of [1, Number.POSITIVE_INFINITY, 2])
    stream.add(summarize(Float32Array.of(value), 1, null));
  assert.equal(stream.result(stream.limit).maxAbs, Number.POSITIVE_INFINITY);
});

test('a value that is no number is told, not left out of maxima and histogram', async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const out = { 'o-input.after.rows': float32([2, 2], Float32Array.of(1, bad, 3, 4)) };
    await rejectsWith(
      () => gather(new StreamingStatistics(null), out, 7, 'o-input', 'after'),
      'statistics/not-finite',
      /o-input of layer 7 after its maps/,
    );
  }
});
