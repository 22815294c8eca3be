/** Tests what GPTQ adds to whole jobs: a phase, files in the run folder, their use by later measurements. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, optimizeRotation } from '../../src/engine/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { RoundingEvent, RunEvent } from '../../src/protocol/events.ts';
import { openRun } from '../../src/runs/index.ts';
import { type Changes, collect, demoFolder, type Learning, shortExperiment } from '../helpers/demo-runs.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';

/** GPTQ as the reference has it. */
const PLAIN = { ...PLAIN_GPTQ, inputs: 'full-precision' } as const;

const folder = demoFolder();
const LAYERS = 5;

const experiment = (changes: Changes = {}) =>
  shortExperiment(folder, { ...changes, weights: { method: 'gptq', ...changes.weights } });

const phases = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'phase' && event.state === 'started' ? [event.phase] : []));
const rounded = (events: readonly RunEvent[]) =>
  events.filter((event): event is RoundingEvent => event.type === 'rounding');

/** Codes and grids of all layers; the headers before them tell of times. */
function weightBytes(run: string): string[] {
  return readdirSync(join(run, 'rounded'))
    .sort()
    .map((name) => {
      const bytes = readFileSync(join(run, 'rounded', name));
      return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))).toString('base64');
    });
}

/** Hidden entries beside the runs. */
const scratch = (runs: string) => readdirSync(runs).filter((name) => name.startsWith('.'));

for (const kernels of KERNELS) {
  test(`${kernels}: rotations are learned with 16-bit weights, then these are rounded and measured`, async () => {
    const { events, result } = await collect(optimizeRotation(await experiment(), { kernels }));
    const order = phases(events).filter((phase) => ['learn', 'fuse', 'round', 'evaluate'].includes(phase));
    assert.deepEqual(order, ['learn', 'fuse', 'round', 'evaluate']);
    assert.deepEqual(
      rounded(events).map(({ layer, layers }) => [layer, layers]),
      Array.from({ length: LAYERS }, (_, layer) => [layer, LAYERS]),
    );
    assert.ok(rounded(events).every(({ method }) => method === 'gptq'));
    for (const { error, nearest } of rounded(events).flatMap(({ errors }) => errors))
      assert.ok(error < nearest);
    const { seconds } = await (await openRun(result.run)).readResults();
    assert.ok(seconds.round! > 0);
    assert.equal(weightBytes(result.run).length, LAYERS, 'one file a layer and nothing else');
    // On so many windows chance no longer decides which is better.
    const quantized = async (asked: ResolvedExperiment) => {
      const perplexity = asked.evaluation.perplexity.map((task) => ({ ...task, maxWindows: 32 }));
      const options = { kernels, rotations: result.run, variants: ['quantized'] } as const;
      const measured = await collect(
        evaluateExperiment({ ...asked, evaluation: { ...asked.evaluation, perplexity } }, options),
      );
      return measured.result.perplexity[0]!.quantized!;
    };
    const nearest = await experiment({ weights: { method: 'rtn' } });
    assert.ok((await quantized(await experiment())) < (await quantized(nearest)));
  });
}

test('a measurement takes the weights of the run that it names', async () => {
  const { result } = await collect(optimizeRotation(await experiment(), {}));
  const file = join(result.run, 'rotations.safetensors');
  for (const named of [
    { rotations: result.run },
    { rotations: file },
    { rotations: file, runDir: result.run },
  ]) {
    const again = await collect(evaluateExperiment(await experiment(), named));
    assert.deepEqual(again.result.perplexity, result.perplexity);
    assert.ok(!phases(again.events).includes('round'));
  }
  const files = weightBytes(result.run);
  const other = await experiment({
    weights: { gptq: { ...PLAIN, samples: 128, damping: 0.5 } },
  });
  const anew = await collect(evaluateExperiment(other, { rotations: result.run }));
  assert.ok(phases(anew.events).includes('round'), 'weights of other settings are not taken');
  assert.notDeepEqual(anew.result.perplexity, result.perplexity);
  assert.deepEqual(weightBytes(result.run), files, 'and not overwritten');
  assert.deepEqual(scratch(dirname(result.run)), [], 'what was made for a measurement alone is gone');
});

test('weights of other kernels are made anew, not mixed', { skip: KERNELS.length < 2 }, async () => {
  const { result } = await collect(optimizeRotation(await experiment(), { kernels: 'native' }));
  const composed = { rotations: result.run, kernels: 'composed' } as const;
  const { events } = await collect(evaluateExperiment(await experiment(), composed));
  assert.ok(phases(events).includes('round'));
});

test('without learned rotations, and without any', async () => {
  const hadamard = await experiment({ rotation: { r1: 'hadamard', r2: 'hadamard' } });
  const none = await experiment({ rotation: { r1: 'none', r2: 'none', r3: false, r4: false } });
  for (const asked of [hadamard, none]) {
    const { events } = await collect(evaluateExperiment(asked, { variants: ['quantized'] }));
    assert.equal(rounded(events).length, LAYERS);
  }
  const { events } = await collect(evaluateExperiment(hadamard, { variants: ['full-precision'] }));
  assert.equal(rounded(events).length, 0, 'full precision needs no rounding');
});

test('GPTQ looks at the samples asked for, or at all there are', async () => {
  const asked = (samples: number) =>
    experiment({
      rotation: { r1: 'hadamard', r2: 'hadamard' },
      weights: { gptq: { ...PLAIN, samples } },
    });
  const perplexity = async (samples: number) => {
    const job = evaluateExperiment(await asked(samples), { variants: ['quantized'] });
    return (await collect(job)).result.perplexity[0]!.quantized;
  };
  assert.equal(await perplexity(9), await perplexity(1000), 'nine are all there are');
  assert.notEqual(await perplexity(9), await perplexity(2));
});

/** Cross-entropy goes on from its checkpoint; captured activations are learned again, to the same bits. */
const LEARNERS: Record<string, Learning> = {
  'cross-entropy': {},
  peak: { objective: 'peak', optimizer: 'lie-adam', learningRate: 0.02, gradientClip: null },
};

for (const [name, learning] of Object.entries(LEARNERS)) {
  test(`${name}: cancelled between layers, a run resumes to the same bits`, async () => {
    const whole = await collect(optimizeRotation(await experiment({ learning }), {}));
    const controller = new AbortController();
    let dir = '';
    const stopped = async () => {
      for await (const event of optimizeRotation(await experiment({ learning }), {
        signal: controller.signal,
      })) {
        if (event.type === 'run-started') dir = event.run!;
        if (event.type === 'rounding' && event.layer === 1) controller.abort();
      }
    };
    await assert.rejects(stopped, Cancelled);
    assert.equal(weightBytes(dir).length, 2);
    const resumed = await collect(optimizeRotation(await experiment({ learning }), { resumeFrom: dir }));
    assert.deepEqual(weightBytes(dir), weightBytes(whole.result.run));
    assert.deepEqual(resumed.result.perplexity, whole.result.perplexity);
    assert.equal(rounded(resumed.events).length, LAYERS, 'all layers are told of');
    assert.ok(!phases(resumed.events).includes('learn'), 'what was learned is kept');
  });
}
