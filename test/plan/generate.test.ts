/** What a run writes is likely by the network that its evaluation measures. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { logProbability, MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import {
  type EngineOptions,
  type GenerateResult,
  generateText,
  type Writer,
} from '../../src/engine/index.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { Executor } from '../../src/engine/plan/execute.ts';
import { planQuantized } from '../../src/engine/plan/experiment-plan.ts';
import { plainNetwork } from '../../src/engine/plan/networks.ts';
import { Places } from '../../src/engine/plan/places.ts';
import { quantizedNetwork } from '../../src/engine/plan/steps/measures.ts';
import { openWorkbench, type Workbench } from '../../src/engine/plan/workbench.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { openRun } from '../../src/runs/index.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const RUN = join(oldRunsFolder(), 'runs', '20261128T151219Z-gptq');
const OPTIONS = { kernels: 'composed' } as const;

async function written(
  from: Writer,
  cacheBits: 4 | 16 | null = null,
  { simulated, ...options }: EngineOptions & { readonly simulated: boolean } = {
    ...OPTIONS,
    simulated: false,
  },
) {
  const rest = { tokens: 40, choice: MOST_LIKELY, seed: 0, stops: [], cacheBits, simulated };
  const job = generateText({ from, prompt: { text: 'once upon a time', chat: null }, ...rest }, options);
  const likely: number[] = [];
  for (;;) {
    const next = await job.next();
    if (next.done) return { likely, result: next.value };
    if (next.value.type === 'token') likely.push(next.value.logProbability);
  }
}

/** Log-probabilities of the tokens behind a prompt, by a pass over the whole text. */
async function judged(network: Network, { promptIds, ids }: GenerateResult): Promise<number[]> {
  const all = Int32Array.from([...promptIds, ...ids]);
  const logits = await sequenceLogits(network, all);
  const width = logits.length / all.length;
  return ids.map((id, place) => {
    const row = promptIds.length + place - 1;
    return logProbability(logits.subarray(row * width, (row + 1) * width), id);
  });
}

const distance = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + Math.abs(x - b[i]!), 0) / a.length;

async function withBench<T>(
  work: (bench: Workbench) => Promise<T>,
  options: EngineOptions = OPTIONS,
): Promise<T> {
  const bench = await openWorkbench(await (await openRun(RUN)).readExperiment(), options);
  try {
    return await work(bench);
  } finally {
    await bench.close();
  }
}

test('a run writes as the network that its perplexity is measured on', async () => {
  const { likely, result } = await written({ run: RUN });
  await withBench(async (bench) => {
    const executor = new Executor(bench, new Places(null, [RUN], RUN), {}, undefined);
    const form = { path: join(RUN, 'rotations.safetensors'), integer: false };
    const plan = await planQuantized(bench.experiment, bench, form);
    for (const step of [plan.maps, plan.weights]) if (step) await collect(executor.execute<unknown>(step));
    const whole = await judged(quantizedNetwork(executor, plan), result);
    const plain = await judged(plainNetwork(bench), result);
    // See test/generate/quantized-decoder.test.ts: a tenth of what quantization does is far more than rounding.
    assert.ok(distance(likely, whole) < 0.1 * distance(whole, plain), `${distance(likely, whole)}`);
  });
});

test('where there are kernels, a run writes with weights of 4 bits, unless it is simulated', {
  skip: !KERNELS.includes('native'),
}, async () => {
  const native = { kernels: 'native' } as const;
  const [{ likely, result }, simulated] = [
    await written({ run: RUN }, null, { ...native, simulated: false }),
    await written({ run: RUN }, null, { ...native, simulated: true }),
  ];
  assert.deepEqual(result.products, { integer: [...LINEARS], others: [] });
  assert.equal(simulated.result.products, null);
  await withBench(async (bench) => {
    const executor = new Executor(bench, new Places(null, [RUN], RUN), {}, undefined);
    const form = { path: join(RUN, 'rotations.safetensors'), integer: true };
    const plan = await planQuantized(bench.experiment, bench, form);
    for (const step of [plan.maps, plan.weights]) if (step) await collect(executor.execute<unknown>(step));
    const network = quantizedNetwork(executor, plan);
    const whole = await judged(network, result);
    const plain = await judged(plainNetwork(bench), result);
    assert.ok(distance(likely, whole) < 0.1 * distance(whole, plain), `${distance(likely, whole)}`);
    assert.equal(result.weightBytes, network.weightBytes);
    // Matrices of each layer shrink from 32 bits to 4, a scale per row, and what pads them to 32 columns and 16 rows.
    assert.ok(result.weightBytes < 0.5 * simulated.result.weightBytes);
  }, native);
});

test('the output layer is rounded where that is asked for', async () => {
  const request = { tokens: 12, choice: MOST_LIKELY, seed: 0, stops: [], cacheBits: null, simulated: false };
  const prompt = { text: 'once upon a time', chat: null };
  const text = async (headBits?: 16 | 8) => {
    const job = generateText({ from: { run: RUN }, prompt, ...request, headBits }, OPTIONS);
    const events = [];
    for (;;) {
      const next = await job.next();
      if (next.done) return { events, result: next.value };
      if (next.value.type === 'token') events.push(next.value.logProbability);
    }
  };
  const [own, same, eight] = [await text(), await text(16), await text(8)];
  assert.deepEqual(same.events, own.events);
  assert.deepEqual([own.result.headBits, eight.result.headBits], [16, 8]);
  assert.notDeepEqual(eight.events, own.events);
  assert.ok(eight.result.weightBytes > own.result.weightBytes);
});

const MODEL = join(RUN, '..', '..', 'model');

test('a model writes as its own network', async () => {
  const { likely, result } = await written({ model: MODEL });
  const whole = await withBench((bench) => judged(plainNetwork(bench), result));
  // Float32 logits below 1, summed in another order: sums of 64 products, 64 · 2⁻²⁴ each, in 2 layers.
  assert.ok(distance(likely, whole) < 2 * 64 * 2 ** -24, `${distance(likely, whole)}`);
});

test('keys and values have other bits where they are asked for', async () => {
  const [own, same, sixteen] = [
    await written({ run: RUN }),
    await written({ run: RUN }, 4),
    await written({ run: RUN }, 16),
  ];
  assert.deepEqual(same.likely, own.likely);
  assert.notDeepEqual(sixteen.likely, own.likely);
  assert.deepEqual([own.result.bits, sixteen.result.bits], ['W4A4KV4', 'W4A4KV16']);
  const [model, rounded] = [await written({ model: MODEL }, 16), await written({ model: MODEL }, 4)];
  assert.deepEqual(model.likely, (await written({ model: MODEL })).likely);
  assert.notDeepEqual(rounded.likely, model.likely);
  assert.equal(rounded.result.bits, 'W16A16KV4');
  // Heads of 16 channels: 8 bytes of codes, 4 of a scale and 2 of a zero point, for whole blocks of 16 tokens.
  const { cacheBytes, cacheOf16Bits, promptIds } = rounded.result;
  assert.equal(cacheOf16Bits, 14 / 32);
  const tokens = promptIds.length + 40;
  assert.equal(cacheBytes / (16 * Math.ceil(tokens / 16) * 14), model.result.cacheBytes / (tokens * 64));
});

test('what was made for the bits of a cache is not used with others', async (t) => {
  const copy = join(temporaryFolder(t), 'runs', 'run');
  cpSync(RUN, copy, { recursive: true });
  const experiment = JSON.parse(readFileSync(join(copy, 'experiment.json'), 'utf8'));
  experiment.model = MODEL;
  experiment.quantization.weights.method = 'omniquant';
  writeFileSync(join(copy, 'experiment.json'), JSON.stringify(experiment));
  await rejectsWith(
    () => written({ run: copy }, 16),
    'generate/cache',
    /omniquant of this run made its numbers/,
  );
});
