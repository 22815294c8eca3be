/** Activation statistics with our kernels against the loops that stand in for them, on the demo model. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import { inspectActivations } from '../../src/engine/index.ts';
import type { ActivationsFile, MedianRange, SiteStatistics } from '../../src/runs/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'quick.spinquant.json');
const notBuilt = KERNELS.includes('native') ? false : 'the native operators are not built';

/** Layers and width of the demo model; about twelve rounded operations a layer, each off by a few ε·√d. */
const [LAYERS, WIDTH] = [5, 128];
const ROUNDED = 4 * 12 * LAYERS * Math.sqrt(WIDTH) * 2 ** -23;
/** Fourth powers quadruple relative errors. */
const CLOSE = 4 * ROUNDED;
/** Where a value falls on the other side of a border of the quantizer, its error stays half a step. */
const DECIBELS = 10 * Math.log10(1 + 8 * CLOSE);

async function inspect(
  rotation: Partial<ResolvedExperiment['rotation']>,
  keyBits: 16 | null,
  kernels: 'native' | 'composed',
): Promise<ActivationsFile> {
  const demo = await resolveExperiment(DEMO, 'inspect');
  const { keys } = demo.quantization;
  const job = inspectActivations(
    {
      ...demo,
      calibration: { ...demo.calibration, sequenceLength: 48, samples: 9 },
      quantization: { ...demo.quantization, keys: { ...keys, bits: keyBits ?? keys.bits } },
      rotation: { ...demo.rotation, ...rotation },
    },
    { kernels },
  );
  for (;;) {
    const next = await job.next();
    if (next.done) return next.value;
  }
}

/** The step is proportional to this; two ranges as wide as each other may change places at the median. */
function widthOf({ min, max }: MedianRange): number {
  return Math.max(max, 0) - Math.min(min, 0);
}

function assertAlike(a: SiteStatistics, b: SiteStatistics, what: string): void {
  const numbers = ({ rms, kurtosis, maxAbs, medianRange, channelMaxima }: SiteStatistics): number[] => [
    ...[rms, kurtosis, maxAbs, medianRange ? widthOf(medianRange) : 0],
    ...channelMaxima,
  ];
  const found = numbers(b);
  numbers(a).forEach((x, index) => {
    const y = found[index]!;
    assert.ok(Math.abs(x - y) <= CLOSE * Math.abs(x), `${what}: number ${index} is ${x} and ${y}`);
  });
  assert.equal(a.sqnrDb === null, b.sqnrDb === null, what);
  assert.ok(Math.abs(a.sqnrDb! - b.sqnrDb!) < DECIBELS, `${what}: ${a.sqnrDb} and ${b.sqnrDb} dB`);
  assert.equal(a.medianRange === null, b.medianRange === null, what);
  assert.deepEqual([a.tokens, a.histogram.max], [b.tokens, b.histogram.max], what);
  // Few values lie within a rounding of the border between two bins.
  const [total, moved] = a.histogram.counts.reduce(
    ([sum, off], count, bin) => [sum + count, off + Math.abs(count - b.histogram.counts[bin]!)],
    [0, 0],
  );
  assert.ok(total === a.tokens * a.channelMaxima.length, `${what}: every value is counted`);
  assert.ok(moved <= CLOSE * total, `${what}: ${moved} of ${total} values in other bins`);
}

const CASES = [
  ['all rotations', { r1: 'hadamard', r2: 'hadamard' }, null],
  ['R1 alone, keys at 16 bits', { r1: 'hadamard', r2: 'none', r4: false }, 16],
] as const;

for (const [name, rotation, keyBits] of CASES) {
  test(`our kernels and the loops find the same: ${name}`, { skip: notBuilt }, async () => {
    const loops = (await inspect(rotation, keyBits, 'composed')).sites;
    const kernels = (await inspect(rotation, keyBits, 'native')).sites;
    assert.equal(kernels.length, loops.length);
    loops.forEach((expected, index) => {
      const { layer, site, rotation: acting, before, after } = kernels[index]!;
      assert.deepEqual([layer, site, acting], [expected.layer, expected.site, expected.rotation]);
      assertAlike(expected.before, before, `${site} ${layer} before`);
      assertAlike(expected.after, after, `${site} ${layer} after`);
      if (acting.length === 0) assert.deepEqual(before, after, 'nothing rotates');
    });
  });
}
