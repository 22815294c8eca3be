/** Log-likelihoods of choices, whose common beginnings are computed once, against each choice on its own. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { TASKS, type TaskName } from '../../src/config/index.ts';
import {
  type EncodedQuestion,
  type EncodedTask,
  encodeTask,
  type Request,
} from '../../src/engine/evaluate/tasks/encode.ts';
import { logLikelihoods } from '../../src/engine/evaluate/tasks/log-likelihoods.ts';
import { QUESTION_READERS } from '../../src/engine/evaluate/tasks/readers/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, tinyQuantizers } from '../helpers/tiny-network.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

/** Every choice here is shorter. */
const LENGTH = 48;

/** Batches of two sequences: a question with more of them is split. */
const SMALL: NetworkMemory = { ...DEFAULT_MEMORY, tokensAtOnce: 2 * LENGTH };

/** One question of each task, as its file has it. */
const ROWS: Readonly<Record<TaskName, Readonly<Record<string, unknown>>>> = {
  boolq: {
    passage: 'The moon is a rock that goes around the earth.',
    question: 'is the moon a star',
    answer: false,
  },
  piqa: {
    goal: 'To dry wet shoes',
    sol1: 'put paper into them',
    sol2: 'put them into the wet rain',
    label: 0,
  },
  social_iqa: {
    ...{ context: 'Ann gave Bob her umbrella.', question: 'Why did Ann do this?' },
    ...{ answerA: 'to be kind', answerB: 'to be wet', answerC: 'to sleep', label: '1' },
  },
  hellaswag: {
    ...{ activity_label: 'Baking', ctx_a: 'A man mixes flour and milk.', ctx_b: 'he' },
    endings: ['puts it into the oven.', 'puts it into the sea.', 'sleeps.', 'paints the wall with it.'],
    label: 0,
  },
  winogrande: {
    ...{
      sentence: 'The cup did not fit the box because the _ was too large.',
      option1: 'cup',
      option2: 'box',
    },
    answer: '1',
  },
  arc_easy: {
    question: 'Which of these is a metal?',
    choices: { text: ['iron', 'wood', 'iron and wood', 'milk'], label: ['A', 'B', 'C', 'D'] },
    answerKey: 'A',
  },
  arc_challenge: {
    question: 'What makes the day and the night?',
    choices: { text: ['the turning earth', 'the turning moon', 'the wind'], label: ['1', '2', '3'] },
    answerKey: '1',
  },
  openbookqa: {
    question_stem: 'A fish lives in',
    choices: {
      text: ['the water', 'the fire', 'the air above the water', 'sand'],
      label: ['A', 'B', 'C', 'D'],
    },
    answerKey: 'A',
  },
};

/** A token for each word, from its characters. */
function wordTokenizer(vocabSize: number): Tokenizer {
  const idOf = (word: string) =>
    [...word].reduce((sum, char) => (31 * sum + char.charCodeAt(0)) % vocabSize, 7);
  return {
    encode: (text) => Int32Array.from(text.match(/\s*\S+/g) ?? [], idOf),
    decode: () => '',
    ...{ vocabSize, bosId: 1, eosId: 2, addsBos: false, unknownId: null },
  };
}

/** Questions whose choices begin alike by some tokens, and in twos by some more. */
function someQuestions(vocabSize: number): EncodedTask {
  const random = noise(3);
  const ids = (count: number) =>
    Array.from({ length: count }, () => Math.floor(((random() + 1) / 2) * vocabSize));
  const questions = [20, 1, 33].map((common): EncodedQuestion => {
    const context = ids(common);
    const pairs = [ids(4), ids(2)];
    const choices = [0, 1, 0, 1].map((pair, i) => [...context, ...pairs[pair]!, ...ids(1 + i)]);
    const requests = choices.map((all, i) => ({
      input: Int32Array.from(all.slice(0, -1)),
      labels: Int32Array.from(all.slice(-1 - i)),
      bytes: 1,
    }));
    return { requests, gold: 0, place: () => 'here' };
  });
  return { task: 'made up', questions, cut: 0 };
}

const requestsOf = (task: EncodedTask) => task.questions.flatMap(({ requests }) => requests);

/** Passes a choice through the network alone, filled up to one length, and sums what its labels get. */
async function alone(network: Network, { input, labels }: Request): Promise<number> {
  const ids = new Int32Array(LENGTH);
  ids.set(input);
  let x = await network.embed(ids);
  for (let layer = 0; layer < network.layers; layer++)
    x = await network.layer(layer, x, { batch: 1, sequence: LENGTH });
  const predicted = new Int32Array(LENGTH).fill(-1);
  predicted.set(labels, input.length - labels.length);
  const losses = await network.loss(float32(x.dims, x.data.slice()), predicted);
  let sum = 0;
  for (let at = input.length - labels.length; at < input.length; at++) sum -= losses[at]!;
  return sum;
}

/** The log-likelihoods of a task, and the rows that went into the first layer. */
async function together(network: Network, task: EncodedTask, t: TestContext) {
  const layer = t.mock.method(network, 'layer');
  const found = new Map<number, number>();
  for await (const some of logLikelihoods(network, task))
    for (const [at, value] of some) found.set(at, value);
  const first = layer.mock.calls.filter((call) => call.arguments[0] === 0);
  layer.mock.restore();
  return { found, rows: first.reduce((sum, call) => sum + (call.arguments[1].dims[0] ?? 0), 0) };
}

/**
 * float32 logits are within 4 E of the exact ones, where E is what transformers' float32 pass differs by
 * (golden-logits.test.ts): two passes differ by 8 E, and log-softmax by twice that for each label. Quantizers see the same
 * bits both times, for a row of a product comes out alike whatever stands beside it: no code is another.
 */
const boundOf = (name: string, { labels }: Request) =>
  16 * readGolden(name).float32MaxDifference * labels.length;

/** The network of full precision and that of 4 bits everywhere, rotated, with weights rounded to nearest. */
function networks(cache: ProgramCache, checkpoint: Checkpoint, memory: NetworkMemory): readonly Network[] {
  const quantizers = tinyQuantizers(checkpoint.config, 4);
  const plain = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS } as const;
  return [
    new Network(cache, checkpoint, { ...plain, centreEmbedding: false, memory }),
    rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers, memory }).network,
  ];
}

async function opened(t: TestContext, name: string, kernels: (typeof KERNELS)[number]) {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const runtime = await createRuntime({ kernels, device: 'cpu', threads: 1 });
  const cache = new ProgramCache(runtime);
  t.after(async () => {
    await cache.release();
    runtime.close();
  });
  return { checkpoint, cache };
}

for (const kernels of KERNELS) {
  for (const name of GOLDEN_NAMES) {
    test(`${name}: choices together are what each is alone (${kernels} kernels)`, async (t) => {
      const { checkpoint, cache } = await opened(t, name, kernels);
      const task = someQuestions(checkpoint.config.vocabSize);
      for (const network of networks(cache, checkpoint, DEFAULT_MEMORY)) {
        const { found, rows } = await together(network, task, t);
        const requests = requestsOf(task);
        const tokens = requests.reduce((sum, { input }) => sum + input.length, 0);
        assert.ok(rows < tokens / 2, `${rows} rows for ${tokens} tokens`);
        for (const [at, request] of requests.entries()) {
          const difference = Math.abs(found.get(at)! - (await alone(network, request)));
          assert.ok(difference <= boundOf(name, request), `choice ${at} differs by ${difference}`);
        }
      }
    });
  }

  test(`questions of all tasks have the likelihoods of their choices alone, in any batch (${kernels} kernels)`, async (t) => {
    const { checkpoint, cache } = await opened(t, 'llama', kernels);
    const { vocabSize, maxPositions } = checkpoint.config;
    const [large, small] = [DEFAULT_MEMORY, SMALL].map((memory) => networks(cache, checkpoint, memory));
    for (const { name } of TASKS) {
      const question = QUESTION_READERS[name]({ value: ROWS[name], place: () => name });
      const task = await encodeTask(name, [question], wordTokenizer(vocabSize), maxPositions);
      for (const [form, network] of large!.entries()) {
        const [all, few] = [await together(network, task, t), await together(small![form]!, task, t)];
        for (const [at, request] of requestsOf(task).entries()) {
          const expected = await alone(network, request);
          const differences = [all, few].map(({ found }) => Math.abs(found.get(at)! - expected));
          assert.ok(
            Math.max(...differences) <= boundOf('llama', request),
            `${name}, choice ${at} differs by ${differences}`,
          );
        }
      }
    }
  });
}
