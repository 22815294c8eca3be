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

type Keys = ResolvedExperiment['quantization']['keys'];

async function inspect(
  rotation: Partial<ResolvedExperiment['rotation']>,
  ownKeys: Partial<Keys>,
  kernels: 'native' | 'composed',
): Promise<ActivationsFile> {
  const demo = await resolveExperiment(DEMO, 'inspect');
  const { keys } = demo.quantization;
  const job = inspectActivations(
    {
      ...demo,
      calibration: { ...demo.calibration, sequenceLength: 48, samples: 9 },
      quantization: { ...demo.quantization, keys: { ...keys, ...ownKeys } },
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
  ['all rotations', { r1: 'hadamard', r2: 'hadamard' }, {}],
  ['R1 alone, keys at 16 bits', { r1: 'hadamard', r2: 'none', r4: false }, { bits: 16 }],
  ['keys without their mean', { r1: 'hadamard', r2: 'hadamard' }, { offset: 'mean' }],
] as const;

for (const [name, rotation, keys] of CASES) {
  test(`our kernels and the loops find the same: ${name}`, { skip: notBuilt }, async () => {
    const loops = (await inspect(rotation, keys, 'composed')).sites;
    const kernels = (await inspect(rotation, keys, 'native')).sites;
    assert.equal(kernels.length, loops.length);
    loops.forEach((expected, index) => {
      const { layer, site, rotation: acting, offset, before, after } = kernels[index]!;
      assert.deepEqual([layer, site, acting], [expected.layer, expected.site, expected.rotation]);
      assert.equal(offset?.part, expected.offset?.part);
      assertAlike(expected.before, before, `${site} ${layer} before`);
      assertAlike(expected.after, after, `${site} ${layer} after`);
      if (acting.length === 0) assert.deepEqual(before, after, 'nothing rotates');
    });
  });
}

test('keys without their mean: what is left of them, and what stayed with it', async () => {
  const rotation = { r1: 'hadamard', r2: 'hadamard' } as const;
  const of = async (keys: Partial<Keys>) =>
    (await inspect(rotation, keys, 'composed')).sites.filter(({ site }) => site === 'key');
  const whole = await of({ offset: 'none' });
  const apart = await of({ offset: 'mean' });
  for (const [layer, { offset, before, after }] of apart.entries()) {
    const expected = whole[layer]!;
    assert.ok(Math.abs(before.rms - expected.before.rms) < CLOSE * before.rms, `layer ${layer}, before`);
    assert.ok(Math.abs(before.sqnrDb! - expected.before.sqnrDb!) < DECIBELS, `layer ${layer}, before`);
    assert.equal(offset?.part, 'mean');
    assert.ok(Math.abs(offset.keptSqnrDb! - expected.after.sqnrDb!) < DECIBELS, `layer ${layer}, kept`);
    assert.equal(expected.offset, undefined);
    // At least a third of the energy of these keys is that of their mean, and the steps of the grid shrink with it.
    assert.ok(after.rms ** 2 < (2 / 3) * before.rms ** 2, `layer ${layer}: ${after.rms} of ${before.rms}`);
    assert.ok(after.sqnrDb! > offset.keptSqnrDb! + 2, `layer ${layer}: ${after.sqnrDb} dB`);
  }
});
