/** Whole jobs on the demo model through the engine's contract: what any front door calls. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, inspectActivations, optimizeRotation } from '../../src/engine/index.ts';
import { Cancelled, UserError } from '../../src/protocol/errors.ts';
import type { RunEvent, StepEvent } from '../../src/protocol/events.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, type Learning, shortExperiment } from '../helpers/demo-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const folder = demoFolder();

/** Rounded to nearest: what GPTQ does to a run is in gptq-run.test.ts. */
const experiment = (learning: Learning, rotation: Partial<ResolvedExperiment['rotation']> = {}) =>
  shortExperiment(folder, { learning, rotation, weights: { method: 'rtn' } });

const steps = (events: readonly RunEvent[]) =>
  events.filter((event): event is StepEvent => event.type === 'step');
const rotationBytes = (run: string) => readFileSync(join(run, 'rotations.safetensors'));

for (const kernels of KERNELS) {
  for (const weightBits of [4, 16] as const) {
    test(`optimize: ${weightBits}-bit weights in the loop, ${kernels} kernels`, async () => {
      const { events, result } = await collect(
        optimizeRotation(await experiment({ weightBits }), { kernels }),
      );
      const run = await openRun(result.run);
      assert.equal(run.record.status, 'finished');
      assert.deepEqual(await run.readEvents(), events, 'the folder tells what the consumer was told');
      assert.deepEqual(
        steps(events).map(({ step }) => step),
        [1, 2, 3, 4],
      );
      for (const step of steps(events)) {
        assert.ok(step.loss > 0 && step.gradientNorm > 0 && step.orthogonalityError < 1e-5);
        assert.ok(step.distanceFromStart.r1! > 0 && step.distanceFromStart.r2! > 0, 'rotations move');
      }
      for (const event of events.filter((e) => e.type === 'preservation')) {
        assert.ok(
          event.relative <= event.tolerance,
          `${event.where}: ${event.relative} > ${event.tolerance}`,
        );
      }
      assert.equal(events.filter((event) => event.type === 'preservation').length, 2);
      assert.ok(result.orthogonalityError < 1e-6);
      const [perplexity] = result.perplexity;
      assert.ok(perplexity!.quantized! > perplexity!.fullPrecision!);
    });
  }
}

/** The learner carries nothing, or moving averages and the rotations of the last search for clip ratios. */
const CARRIED: Record<string, Learning> = {
  'Cayley SGD': {},
  'LieAdam, a search every third step': {
    optimizer: 'lie-adam',
    learningRate: 0.02,
    weightClip: true,
    weightClipEvery: 3,
  },
};

for (const [name, learning] of Object.entries(CARRIED)) {
  test(`${name}: cancelled in the middle of a step, a run resumes to the same bits`, async () => {
    const whole = await collect(optimizeRotation(await experiment(learning), {}));
    const controller = new AbortController();
    const seen: RunEvent[] = [];
    const stopped = async () => {
      for await (const event of optimizeRotation(await experiment(learning), { signal: controller.signal })) {
        seen.push(event);
        if (event.type === 'step' && event.step === 2) setTimeout(() => controller.abort(), 5);
      }
    };
    await assert.rejects(stopped, Cancelled);
    const started = seen.find((event) => event.type === 'run-started')!;
    assert.equal((await openRun(started.run!)).record.status, 'cancelled');
    const resumed = await collect(optimizeRotation(await experiment(learning), { resumeFrom: started.run! }));
    assert.deepEqual(rotationBytes(resumed.result.run), rotationBytes(whole.result.run));
    assert.deepEqual(resumed.result.perplexity, whole.result.perplexity);
    assert.deepEqual(resumed.result.loss, whole.result.loss);
    const numbers = steps(await (await openRun(resumed.result.run)).readEvents()).map(({ step }) => step);
    assert.deepEqual(numbers, [1, 2, 3, 4], 'each step stands once in the log');
  });
}

test('a consumer that stops listening leaves a resumable run', async () => {
  let dir = '';
  for await (const event of optimizeRotation(await experiment({}), {})) {
    if (event.type === 'run-started') dir = event.run!;
    if (event.type === 'step' && event.step === 3) break;
  }
  assert.equal((await openRun(dir)).record.status, 'cancelled');
  const { events } = await collect(optimizeRotation(await experiment({}), { resumeFrom: dir }));
  assert.deepEqual(
    steps(events).map(({ step }) => step),
    [4],
  );
});

for (const [name, rotation] of [
  ['start captured', { start: 'captured' }],
  ['R2 alone', { r1: 'hadamard' }],
  ['R1 alone, no_had', { r2: 'none', r3: false, r4: false }],
] as const) {
  test(`optimize: ${name}`, async () => {
    const { events, result } = await collect(optimizeRotation(await experiment({ steps: 2 }, rotation), {}));
    assert.equal(steps(events).length, 2);
    assert.ok(result.orthogonalityError < 1e-6);
    const [first] = steps(events);
    if (name === 'start captured')
      assert.ok(first!.distanceFromStart.r1! > 0.1, 'the warm start has moved R1 before step 1');
    if (name === 'R2 alone') assert.equal(first!.stepCap.r1, null);
    if (name === 'R1 alone, no_had') assert.equal(first!.stepCap.r2Max, null);
  });
}

test('micro-batches sum to the batch: the first loss and gradient do not depend on their size', async () => {
  const first = async (microBatch: number) =>
    steps((await collect(optimizeRotation(await experiment({ microBatch, steps: 1 }), {}))).events)[0]!;
  const [whole, parts] = [await first(3), await first(1)];
  // The same sums in another order: a few roundings of float32.
  assert.ok(Math.abs(whole.loss - parts.loss) < 1e-5 * whole.loss);
  assert.ok(Math.abs(whole.gradientNorm - parts.gradientNorm) < 1e-3 * whole.gradientNorm);
});

test('even a huge learning rate stays on the manifold: the step cap holds it', async () => {
  const huge = await experiment({ learningRate: 1000, gradientClip: null, steps: 2 });
  // 1/‖W‖₁ bounds every step, so the fixed-point iteration contracts whatever the rate.
  const { events } = await collect(optimizeRotation(huge, {}));
  for (const step of steps(events)) assert.ok(step.orthogonalityError < 1e-5);
});

test('evaluate with given rotations equals the run; without them it says what to do', async () => {
  const { result } = await collect(optimizeRotation(await experiment({}), {}));
  const again = await collect(evaluateExperiment(await experiment({}), { rotations: result.run }));
  assert.deepEqual(again.result.perplexity, result.perplexity);
  await assert.rejects(collect(evaluateExperiment(await experiment({}), {})), {
    code: 'rotation/not-learned-yet',
  });
});

test('nothing to learn is said before any work', async () => {
  const fixed = await experiment({}, { r1: 'hadamard', r2: 'none' });
  await assert.rejects(collect(optimizeRotation(fixed, {})), { code: 'rotation/nothing-to-learn' });
});

test('inspect: rotation lowers kurtosis and raises SQNR where outliers are', async () => {
  const { result } = await collect(
    inspectActivations(await experiment({}, { r1: 'hadamard', r2: 'hadamard' }), {}),
  );
  const { sites } = result;
  assert.equal(sites.length, 5 * 7, 'five layers, seven sites');
  const mean = (site: string, side: 'before' | 'after', of: 'kurtosis' | 'sqnrDb') => {
    const values = sites.filter((record) => record.site === site).map((record) => record[side][of]!);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  for (const site of ['attention-input', 'mlp-input', 'down-input']) {
    assert.ok(mean(site, 'after', 'kurtosis') < mean(site, 'before', 'kurtosis'), `${site}: kurtosis`);
    assert.ok(mean(site, 'after', 'sqnrDb') > mean(site, 'before', 'sqnrDb'), `${site}: SQNR`);
  }
  for (const { before, after, site } of sites) {
    const count = (counts: readonly number[]) => counts.reduce((sum, value) => sum + value, 0);
    assert.equal(before.histogram.max, after.histogram.max, 'one axis for both');
    assert.equal(count(before.histogram.counts), count(after.histogram.counts));
    // An orthogonal map keeps the energy.
    assert.ok(Math.abs(before.rms / after.rms - 1) < 1e-5, site);
    assert.equal(before.sqnrDb === null, site === 'query');
  }
});

test('a memory limit changes what is kept, not what is learned', async () => {
  const whole = await collect(optimizeRotation(await experiment({}), {}));
  // The tape is given up and layers are computed again; sums are taken in the same order.
  const limited = await collect(optimizeRotation({ ...(await experiment({})), memoryLimit: 0.25 }, {}));
  assert.deepEqual(rotationBytes(limited.result.run), rotationBytes(whole.result.run));
  const tooSmall = { ...(await experiment({})), memoryLimit: 0.1 };
  await assert.rejects(
    collect(optimizeRotation(tooSmall, {})),
    (error) => error instanceof UserError && error.code === 'memory/limit',
  );
});
