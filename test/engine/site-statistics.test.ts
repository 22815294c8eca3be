import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamingStatistics } from '../../src/engine/calibrate/site-statistics.ts';

/** Two batches of [tokens, 2]; the second is ten times larger, so the axis must grow and old counts must merge. */
const FIRST = Float32Array.of(1, -2, 0.5, 0.25);
const SECOND = Float32Array.of(-20, 3, 10, -1);
const QUANTIZER = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

test('histogram, channel maxima, moments and SQNR of a stream', () => {
  const stream = new StreamingStatistics(QUANTIZER);
  for (const batch of [FIRST, SECOND]) {
    stream.add(batch, 2, 0.5);
    stream.bin(stream.largest);
  }
  const { histogram, channelMaxima, kurtosis, sqnrDb, rms, maxAbs, tokens, medianRange } = stream.result();
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
  assert.equal(histogram.max, 32, 'the axis doubles from 2 to the next power of two above 20');
  assert.equal(histogram.min, -32);
  const width = (histogram.max - histogram.min) / histogram.counts.length;
  for (let bin = 0; bin < histogram.counts.length; bin++) {
    const low: number = histogram.min + bin * width;
    const expected: number = all.filter((x) => x >= low && x < low + width).length;
    assert.equal(histogram.counts[bin], expected, `bin from ${low}`);
  }
});

test('a value at the very end of the axis is counted', () => {
  const stream = new StreamingStatistics(null);
  stream.add(Float32Array.of(4, -4), 2, null);
  stream.bin(4);
  const { histogram, sqnrDb, medianRange } = stream.result();
  assert.equal(
    histogram.counts.reduce((a, b) => a + b),
    2,
  );
  assert.equal(sqnrDb, null, 'nothing is quantized');
  assert.equal(medianRange, null);
});
