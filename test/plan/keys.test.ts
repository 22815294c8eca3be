/** Keys of a plan's steps: what they depend on, and what serves by them. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import type { RoundedMatrix } from '../../src/engine/network/rounded-weights.ts';
import { describePlan, stepsOf } from '../../src/engine/plan/describe-plan.ts';
import type { Step } from '../../src/engine/plan/step.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { RUN_FILES } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { benchOf, executorOf, type Machine } from '../helpers/plan-steps.ts';

const folder = oldRunsFolder();

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
    evaluation: {
      ...experiment.evaluation,
      perplexity: experiment.evaluation.perplexity.map((task) => ({ ...task, text: other })),
    },
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

test('groups of channels change what is learned on captured activations, and bits do with procrustes alone', async () => {
  const { rotation, quantization, ...experiment } = await optimized();
  const keyWith = async (objective: 'peak' | 'procrustes', activations: object) => {
    const learning = { ...rotation.learning, objective };
    const own = { ...quantization, activations: { ...quantization.activations, ...activations } };
    const changed = { ...experiment, rotation: { ...rotation, learning }, quantization: own };
    return (await keysOf(changed, 'optimize')).learn;
  };
  for (const objective of ['peak', 'procrustes'] as const) {
    const whole = await keyWith(objective, { groupSize: null });
    assert.notEqual(await keyWith(objective, { groupSize: 8 }), whole);
    const bits = await keyWith(objective, { groupSize: null, bits: 8 });
    assert.equal(bits === whole, objective === 'peak');
  }
});

/** Settings of the weights, each of which decides them. */
const WEIGHTS: Readonly<Record<string, (weights: Weights) => Partial<Weights>>> = {
  damping: ({ gptq }) => ({ gptq: { ...gptq, damping: 0.5 } }),
  actOrder: ({ gptq }) => ({ gptq: { ...gptq, actOrder: true } }),
  groupScales: ({ gptq }) => ({ gptq: { ...gptq, groupScales: 'updated' } }),
  'target gptaq': ({ gptq }) => ({ gptq: { ...gptq, target: 'gptaq' } }),
  gptaqAlpha: ({ gptq }) => ({ gptq: { ...gptq, target: 'gptaq', gptaqAlpha: 0.5 } }),
  foem: ({ gptq }) => ({ gptq: { ...gptq, foem: 0.1 } }),
  magr: ({ gptq }) => ({ gptq: { ...gptq, magr: 0.01 } }),
  magrSteps: ({ gptq }) => ({ gptq: { ...gptq, magr: 0.01, magrSteps: 100 } }),
  learnedClip: ({ gptq }) => ({ gptq: { ...gptq, learnedClip: true } }),
  learnedClipSteps: ({ gptq }) => ({ gptq: { ...gptq, learnedClip: true, learnedClipSteps: 9 } }),
  sweeps: ({ gptq }) => ({ gptq: { ...gptq, sweeps: 1 } }),
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

test('scales that are searched by what rounding does depend on the grid; those of sizes alone do not', async () => {
  const keyOf = async (method: 'awq' | 'smoothquant', bits: 3 | 4) => {
    const experiment = await measured();
    const { quantization, scaling } = experiment;
    const weights = { ...quantization.weights, bits };
    const changes = { quantization: { ...quantization, weights }, scaling: { ...scaling, method } };
    const executor = executorOf(await benchOf(experiment));
    const steps = await stepsOf({ ...experiment, ...changes }, 'evaluate');
    const scale = steps.find(({ name }) => name === method)!;
    for (const input of scale.inputs) await collect(executor.execute(input));
    return executor.keyOf(scale);
  };
  assert.notEqual(await keyOf('awq', 3), await keyOf('awq', 4));
  assert.equal(await keyOf('awq', 4), await keyOf('awq', 4));
  assert.equal(await keyOf('smoothquant', 3), await keyOf('smoothquant', 4));
});

test('fixed transforms change weights where they are merged into these', async () => {
  const without = (name: 'r3' | 'r4') =>
    changed('evaluate', (experiment) => ({
      ...experiment,
      rotation: { ...experiment.rotation, [name]: false },
    }));
  assert.deepEqual(await without('r3'), ['perplexity']);
  assert.deepEqual(await without('r4'), ['gptq', 'perplexity']);
});

test('mixed heads change the weights, and what is learned', async () => {
  const mix = (experiment: ResolvedExperiment) => ({
    ...experiment,
    rotation: { ...experiment.rotation, acrossHeads: true },
  });
  assert.deepEqual(await changed('evaluate', mix), ['gptq', 'perplexity']);
  const found = await changed('optimize', mix);
  assert.ok(found.includes('learn') && found.includes('gptq'), String(found));
});

test('quantizers decide scales that are searched by them, and no others', async () => {
  const scales = async (alpha: number | 'search', bits: 4 | 8) => {
    const experiment = await measured();
    const { quantization } = experiment;
    const scaled = {
      ...experiment,
      quantization: { ...quantization, activations: { ...quantization.activations, bits } },
      scaling: { ...experiment.scaling, method: 'smoothquant', smoothquant: { alpha, samples: 2 } },
    } as const;
    const steps = await stepsOf(scaled, 'evaluate');
    return JSON.stringify(steps.find(({ name }) => name === 'smoothquant')!.spec());
  };
  assert.equal(await scales(0.5, 4), JSON.stringify({ alpha: 0.5, samples: 2 }));
  assert.equal(await scales(0.5, 8), await scales(0.5, 4));
  assert.notEqual(await scales('search', 8), await scales('search', 4));
});

test('options of later versions leave keys as they were until they are used', async () => {
  const machine = { model: 'model' };
  const experiment = byCrossEntropy(await optimized());
  const learning = { ...experiment.rotation.learning, precision: 'bfloat16x2' as const };
  const asThen = { ...experiment, rotation: { ...experiment.rotation, learning } };
  const { learn, gptq } = await keysOf(asThen, 'optimize', machine);
  // Written down by the version before the options. What is learned on captured activations starts over anyway.
  assert.equal(learn, '114072f146ed623efa312b767e819a307ba3b949e81cb2c9cc1ee57d458a0438');
  assert.equal(gptq, '4383694d0527a733eda497b46d0cda360efc9dbaf6e392830298fe9e20bf5c62');
});

const with8BitActivations = (experiment: ResolvedExperiment): ResolvedExperiment => {
  const { quantization } = experiment;
  const activations = { ...quantization.activations, bits: 8 as const };
  return { ...experiment, quantization: { ...quantization, activations } };
};

function byCrossEntropy(experiment: ResolvedExperiment): ResolvedExperiment {
  const learning = { ...experiment.rotation.learning, objective: 'cross-entropy' as const };
  return { ...experiment, rotation: { ...experiment.rotation, learning } };
}

test('bits of activations change learning by cross-entropy, but not what GPTQ rounds', async () => {
  const before = byCrossEntropy(await optimized());
  const [then, now] = [
    await keysOf(before, 'optimize'),
    await keysOf(with8BitActivations(before), 'optimize'),
  ];
  assert.notEqual(now.learn, then.learn);
  assert.equal(now.gptq, then.gptq);
});

test('rotations of captured activations serve other bits, with and without R3 and R4', async () => {
  assert.deepEqual(await changed('optimize', with8BitActivations), ['perplexity', 'statistics']);
  const found = await changed('optimize', (experiment) => ({
    ...experiment,
    rotation: { ...experiment.rotation, r3: false, r4: false },
  }));
  assert.ok(!found.includes('learn'), String(found));
});

test('bits of activations change what is measured of the quantized network', async () => {
  assert.deepEqual(await changed('evaluate', with8BitActivations), ['perplexity']);
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
  const layer = recordOf(LINEARS, (linear): RoundedMatrix => {
    const [rows = 0, columns = 0] = bench.checkpoint.layer(0)[linear].dims;
    const codes = new Int8Array(rows * columns);
    return { rows, columns, codes, scale: new Float32Array(rows), zero: new Float32Array(rows) };
  });
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
