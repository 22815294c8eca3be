/** Steps of a plan: in which order they run, which need not run again, and what their keys depend on. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import type { RoundedLayer } from '../../src/engine/network/rounded-weights.ts';
import { describePlan, stepsOf } from '../../src/engine/plan/describe-plan.ts';
import { Executor } from '../../src/engine/plan/execute.ts';
import { Places } from '../../src/engine/plan/places.ts';
import { digestOf, type Step } from '../../src/engine/plan/step.ts';
import type { Workbench } from '../../src/engine/plan/workbench.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { RUN_FILES } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();

/** These say what computes, and keys are made of them. */
interface Machine {
  readonly kernels?: string;
  readonly device?: string;
  /** Hash of the model. */
  readonly model?: string;
}

/** A workbench without a runtime: enough to read texts and to draw rotations. */
async function benchOf(experiment: ResolvedExperiment, machine: Machine = {}): Promise<Workbench> {
  const { kernels = 'composed', device = 'cpu', model } = machine;
  const checkpoint = await openCheckpoint(experiment.model);
  const hash = model === undefined ? {} : { hash: { value: async () => model } };
  const bench = {
    experiment,
    checkpoint: Object.create(checkpoint, hash) as Checkpoint,
    tokenizer: openTokenizer(experiment.model, checkpoint.config.vocabSize),
    runtime: { kernels, device: { kind: device } },
    scaling: null,
  };
  return bench as unknown as Workbench;
}

/** For steps that need no model. */
const NO_BENCH = {
  checkpoint: { hash: async () => 'model' },
  runtime: { kernels: 'composed', device: { kind: 'cpu' } },
} as unknown as Workbench;

/** An executor that keeps nothing. @param others runs whose results may serve. */
function executorOf(bench: Workbench, others: readonly string[] = [], signal?: AbortSignal): Executor {
  return new Executor(bench, new Places(null, others, folder), {}, signal);
}

/** A step that adds a number to the sum of its inputs, and writes down that it ran. */
function adding(ran: string[], name: string, by: number, inputs: readonly Step<number>[] = []): Step<number> {
  return {
    kind: 'measure',
    name,
    version: 1,
    inputs,
    spec: () => ({ by }),
    digest: (result) => String(result),
    async *run(context) {
      ran.push(name);
      return inputs.reduce((sum, input) => sum + context.of(input), by);
    },
  };
}

test('inputs run before, in their order, and each once', async () => {
  const ran: string[] = [];
  const first = adding(ran, 'first', 1);
  const left = adding(ran, 'left', 10, [first]);
  const right = adding(ran, 'right', 100, [first]);
  const last = adding(ran, 'last', 1000, [right, left, first]);
  const executor = executorOf(NO_BENCH);
  assert.equal((await collect(executor.execute(last))).result, 1113);
  assert.deepEqual(ran, ['first', 'right', 'left', 'last']);
  assert.equal((await collect(executor.execute(left))).result, 11);
  assert.equal(ran.length, 4, 'nothing ran again');
  assert.throws(() => executor.of(adding(ran, 'other', 1)), /other has not run/);
});

test('a step whose result is kept under its key is not run; its inputs are', async () => {
  const ran: string[] = [];
  const input = adding(ran, 'input', 1);
  const asked: string[] = [];
  const kept = new Map<string, number>();
  const step: Step<number> = {
    ...adding(ran, 'kept', 2, [input]),
    find(context, key) {
      asked.push(key);
      assert.equal(context.of(input), 1, 'the inputs are there');
      return kept.get(key) ?? null;
    },
  };
  const reader = adding(ran, 'reader', 4, [step]);
  assert.equal((await collect(executorOf(NO_BENCH).execute(reader))).result, 7);
  assert.deepEqual(ran, ['input', 'kept', 'reader']);
  kept.set(asked[0]!, 30);
  assert.equal((await collect(executorOf(NO_BENCH).execute(reader))).result, 34);
  assert.deepEqual(ran.slice(3), ['input', 'reader']);
  assert.deepEqual(asked, [asked[0], asked[0]], 'the same key in another job');
});

test('a cancelled job starts no step', async () => {
  const ran: string[] = [];
  const executor = executorOf(NO_BENCH, [], AbortSignal.abort());
  await assert.rejects(collect(executor.execute(adding(ran, 'step', 1))), { name: 'Cancelled' });
  assert.deepEqual(ran, []);
});

test('a key is of the step, its spec and the results of its inputs, not of the way to them', async () => {
  const keyOf = async (step: Step<number>) => {
    const executor = executorOf(NO_BENCH);
    for (const input of step.inputs) await collect(executor.execute(input));
    return executor.keyOf(step);
  };
  const ran: string[] = [];
  const three = adding(ran, 'three', 3);
  const step = adding(ran, 'step', 2, [three]);
  const key = await keyOf(step);
  assert.equal(await keyOf(adding(ran, 'step', 2, [three])), key);
  const detour = adding(ran, 'detour', 1, [adding(ran, 'two', 2)]);
  assert.equal(await keyOf(adding(ran, 'step', 2, [detour])), key, 'both inputs are 3');
  const others = [
    adding(ran, 'another', 2, [three]),
    adding(ran, 'step', 4, [three]),
    adding(ran, 'step', 2, [adding(ran, 'four', 4)]),
    adding(ran, 'step', 2, [three, three]),
    { ...step, version: 2 },
    { ...step, kind: 'round' as const },
  ];
  const keys = [key, ...(await Promise.all(others.map(keyOf)))];
  assert.equal(new Set(keys).size, keys.length);
});

test('digests tell apart data and numbers', () => {
  const [a, b] = [Float32Array.of(1, 2), Float32Array.of(3)];
  assert.equal(digestOf('x', [a, b]), digestOf('x', [a.slice(), b]));
  const all = [
    digestOf('x', [a, b]),
    digestOf('y', [a, b]),
    digestOf('x', [b, a]),
    digestOf('x', [Float32Array.of(1, 2, 3)]),
    digestOf('x', [Float32Array.of(1), Float32Array.of(2, 3)]),
    digestOf('x'),
  ];
  assert.equal(new Set(all).size, all.length);
});

type Job = 'optimize' | 'evaluate';

/** Steps that would compute for long, and stand-ins for their results. */
async function plan(experiment: ResolvedExperiment, job: Job): Promise<readonly Step<unknown>[]> {
  const steps = await stepsOf(experiment, job);
  const start = steps.find(({ name }) => name === 'start');
  for (const step of steps) {
    const stand = (run: Step<unknown>['run']) => Object.assign(step, { find: undefined, run });
    // biome-ignore-start lint/correctness/useYield: stand-ins tell nothing.
    if (step.name === 'learn')
      stand(async function* (context) {
        return { state: context.of(start!), loss: { first: 0, last: 0 }, steps: 0 };
      });
    else if (step.kind === 'round')
      stand(async function* (context) {
        return new RoundedLayers('', await context.keyOf(step));
      });
    else if (step.kind === 'measure')
      stand(async function* () {
        return null;
      });
    // biome-ignore-end lint/correctness/useYield: stand-ins tell nothing.
  }
  return steps;
}

/** Keys of all steps of a job by their names. */
async function keysOf(experiment: ResolvedExperiment, job: Job, machine?: Machine) {
  const executor = executorOf(await benchOf(experiment, machine));
  const keys: Record<string, string> = {};
  const taken = new Map<string, number>();
  for (const step of await plan(experiment, job)) {
    await collect(executor.execute(step));
    const again = taken.get(step.name) ?? 0;
    taken.set(step.name, again + 1);
    keys[again === 0 ? step.name : `${step.name} ${again + 1}`] = await executor.keyOf(step);
  }
  return keys;
}

const optimized = () => resolveExperiment(join(folder, 'gptq.spinquant.json'), 'optimize');

async function measured(): Promise<ResolvedExperiment> {
  const experiment = await optimized();
  return { ...experiment, rotation: { ...experiment.rotation, r1: 'random', r2: 'hadamard' } };
}

/** Names of the steps whose keys differ. */
async function changed(
  job: Job,
  change: (experiment: ResolvedExperiment) => ResolvedExperiment,
  machine?: Machine,
): Promise<string[]> {
  const before = await (job === 'optimize' ? optimized() : measured());
  const [then, now] = [await keysOf(before, job), await keysOf(change(before), job, machine)];
  assert.deepEqual(Object.keys(now), Object.keys(then));
  return Object.keys(then).filter((name) => now[name] !== then[name]);
}

const same = (experiment: ResolvedExperiment) => experiment;
const SAMPLES = 10;

test('the steps of a job', async () => {
  const described = await describePlan(await optimized(), 'optimize');
  assert.deepEqual(
    described.map(({ kind, name }) => `${kind} ${name}`),
    [
      ...['text scan', 'text texts', 'text calibration', 'transform start', 'measure preserved'],
      ...['transform learn', 'transform maps', 'measure preserved', 'text evaluation', 'text first'],
      ...['round gptq', 'measure perplexity', 'measure statistics'],
    ],
  );
  for (const [index, { inputs }] of described.entries())
    assert.ok(inputs.every((input) => input >= 0 && input < index));
  const evaluated = await describePlan(await measured(), 'evaluate');
  assert.deepEqual(
    evaluated.map(({ name }) => name),
    ['given', 'scan', 'evaluation', 'calibration', 'first', 'gptq', 'perplexity'],
  );
});

test('results that are kept are those of learning and of rounding', async () => {
  const steps = await stepsOf(await optimized(), 'optimize');
  const kept = steps.filter(({ find }) => find !== undefined);
  assert.deepEqual(
    kept.map(({ name }) => name),
    ['learn', 'gptq'],
  );
});

test('equal experiments have equal keys', async () => {
  assert.deepEqual(await changed('optimize', same), []);
  assert.deepEqual(await changed('evaluate', same), []);
  const moved = (experiment: ResolvedExperiment) => ({ ...experiment, runs: join(folder, 'elsewhere') });
  assert.deepEqual(await changed('optimize', moved), []);
});

test('another model, other kernels and another device change every key', async () => {
  const all = Object.keys(await keysOf(await optimized(), 'optimize'));
  for (const machine of [{ model: 'another' }, { kernels: 'native' }, { device: 'webgpu' }])
    assert.deepEqual(await changed('optimize', same, machine), all);
});

test('the hash of a model is of its weights', async () => {
  const { model } = await optimized();
  const other = join(folder, 'other-model');
  cpSync(model, other, { recursive: true });
  const file = join(other, 'model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  const found = await changed('evaluate', (experiment) => ({ ...experiment, model: other }));
  assert.ok(found.includes('gptq'));
});

test('the calibration text changes what is learned and rounded on it, and what is read of that', async () => {
  const other = join(folder, 'other-calibration.txt');
  writeFileSync(other, 'once there was a cat who sat on a mat and saw a hat.\n'.repeat(40));
  const change = (experiment: ResolvedExperiment) => ({
    ...experiment,
    calibration: { ...experiment.calibration, text: [other] },
  });
  assert.deepEqual(await changed('evaluate', change), ['calibration', 'first', 'gptq', 'perplexity']);
  assert.deepEqual(await changed('optimize', change), [
    ...['texts', 'calibration', 'preserved', 'learn', 'preserved 2', 'evaluation', 'first', 'gptq'],
    ...['perplexity', 'statistics'],
  ]);
});

test('text behind what GPTQ looks at changes nothing of the weights', async () => {
  const shorter = (experiment: ResolvedExperiment) => {
    assert.ok(experiment.quantization.weights.gptq.samples < SAMPLES);
    return { ...experiment, calibration: { ...experiment.calibration, samples: SAMPLES } };
  };
  const found = await changed('evaluate', shorter);
  assert.deepEqual(found, ['calibration', 'first']);
});

test('the evaluation text changes neither what is learned nor what is rounded', async () => {
  const other = join(folder, 'other-test.txt');
  writeFileSync(other, 'a dog ran to the river and came back wet.\n'.repeat(40));
  const change = (experiment: ResolvedExperiment) => ({
    ...experiment,
    evaluation: { perplexity: experiment.evaluation.perplexity.map((task) => ({ ...task, text: other })) },
  });
  const found = await changed('optimize', change);
  assert.ok(found.includes('perplexity'));
  for (const name of ['learn', 'first', 'gptq', 'statistics']) assert.ok(!found.includes(name), name);
});

test("the maps' numbers change what is made with them", async () => {
  const change = (experiment: ResolvedExperiment) => ({
    ...experiment,
    rotation: { ...experiment.rotation, seed: 7 },
  });
  assert.deepEqual(await changed('evaluate', change), ['given', 'gptq', 'perplexity']);
  const found = await changed('optimize', change);
  assert.deepEqual(found, [
    'start',
    'preserved',
    'learn',
    'maps',
    'preserved 2',
    'gptq',
    'perplexity',
    'statistics',
  ]);
});

test('how maps are learned changes learning alone, as long as the same maps come out', async () => {
  const change = (experiment: ResolvedExperiment) => {
    const { learning } = experiment.rotation;
    return { ...experiment, rotation: { ...experiment.rotation, learning: { ...learning, steps: 3 } } };
  };
  assert.deepEqual(await changed('optimize', change), ['learn']);
});

test('learned maps and the same maps from a file give weights one key', async () => {
  const learned = await keysOf(await optimized(), 'optimize');
  const experiment = await optimized();
  // The stand-in for learning gives the start, which is drawn so.
  const drawn = {
    ...experiment,
    rotation: { ...experiment.rotation, r1: 'hadamard', r2: 'hadamard' },
  } as const;
  assert.equal((await keysOf(drawn, 'evaluate')).gptq, learned.gptq);
});

/** Settings of the weights, each of which decides them. */
const WEIGHTS: Readonly<Record<string, (weights: Weights) => Partial<Weights>>> = {
  damping: ({ gptq }) => ({ gptq: { ...gptq, damping: 0.5 } }),
  bits: () => ({ bits: 3 }),
  symmetric: ({ symmetric }) => ({ symmetric: !symmetric }),
  clip: ({ clip }) => ({ clip: !clip }),
  groupSize: () => ({ groupSize: 8 }),
};
type Weights = ResolvedExperiment['quantization']['weights'];

for (const [name, change] of Object.entries(WEIGHTS)) {
  test(`weights.${name} changes the weights, and what is read of them`, async () => {
    const found = await changed('evaluate', (experiment) => {
      const { quantization } = experiment;
      const weights = { ...quantization.weights, ...change(quantization.weights) };
      return { ...experiment, quantization: { ...quantization, weights } };
    });
    assert.deepEqual(found, ['gptq', 'perplexity']);
  });
}

test('fixed transforms change weights where they are merged into these', async () => {
  const without = (name: 'r3' | 'r4') =>
    changed('evaluate', (experiment) => ({
      ...experiment,
      rotation: { ...experiment.rotation, [name]: false },
    }));
  assert.deepEqual(await without('r3'), ['perplexity']);
  assert.deepEqual(await without('r4'), ['gptq', 'perplexity']);
});

test('bits of activations change learning, but not what GPTQ rounds', async () => {
  const change = (experiment: ResolvedExperiment) => {
    const { quantization } = experiment;
    const activations = { ...quantization.activations, bits: 8 as const };
    return { ...experiment, quantization: { ...quantization, activations } };
  };
  const found = await changed('optimize', change);
  assert.ok(found.includes('learn') && !found.includes('gptq'), String(found));
});

test('bits of activations change what is measured of the quantized network', async () => {
  const change = (experiment: ResolvedExperiment) => {
    const { quantization } = experiment;
    const activations = { ...quantization.activations, bits: 8 as const };
    return { ...experiment, quantization: { ...quantization, activations } };
  };
  assert.deepEqual(await changed('evaluate', change), ['perplexity']);
});

test('whole weights of another run are taken by their key, and only by it', async () => {
  const experiment = await measured();
  const bench = await benchOf(experiment);
  const run = join(folder, 'kept');
  mkdirSync(join(run, RUN_FILES.rounded), { recursive: true });
  const executor = () => executorOf(bench, [run]);
  const steps = await stepsOf(experiment, 'evaluate');
  const weights = steps.find(({ kind }) => kind === 'round')!;
  let ran = 0;
  Object.assign(weights, {
    // biome-ignore lint/correctness/useYield: a stand-in tells nothing.
    async *run() {
      ran++;
      return null;
    },
  });
  const inputs = executor();
  for (const input of weights.inputs) await collect(inputs.execute(input));
  const key = await inputs.keyOf(weights);
  const record = { method: 'gptq', errors: [], seconds: 0 };
  const one = {
    rows: 1,
    columns: 1,
    codes: Int8Array.of(1),
    scale: Float32Array.of(1),
    zero: Float32Array.of(0),
  };
  const layer = Object.fromEntries(LINEARS.map((linear) => [linear, one])) as RoundedLayer;
  const write = (of: number, under: string) =>
    new RoundedLayers(join(run, RUN_FILES.rounded), under).write(of, layer, record);
  await write(0, key);
  await collect(executor().execute(weights));
  assert.equal(ran, 1, 'a layer is missing');
  await write(1, key);
  const { result } = await collect(executor().execute(weights));
  assert.equal(ran, 1, 'all layers are there');
  assert.ok(result instanceof RoundedLayers && result.isComplete(2));
  await write(1, `${key} of another`);
  await collect(executor().execute(weights));
  assert.equal(ran, 2, 'a layer is of other settings');
});
