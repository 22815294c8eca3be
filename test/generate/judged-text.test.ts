/** A text under a network that did not write it: likelihoods and divergences are those of passes over the whole text. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { divergence, judgeText, summarize } from '../../src/engine/generate/judged-text.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { TokenJudgement } from '../../src/protocol/comparison.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
});
after(() => runtime.close());

/** Probabilities in float64, without any trick against overflow. */
const softmax = (logits: Float32Array): number[] => {
  const weights = Array.from(logits, (logit) => Math.exp(logit));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
};

const plainDivergence = (p: Float32Array, q: Float32Array): number => {
  const [first, second] = [softmax(p), softmax(q)];
  return first.reduce((sum, weight, id) => sum + weight * Math.log(weight / second[id]!), 0);
};

test('the divergence is the sum of its definition', () => {
  const p = Float32Array.of(2, -1, 0.5, 3, -4);
  const q = Float32Array.of(1, 0, 0.25, 2.5, -2);
  // Both sum five terms of at most 3 in float64.
  assert.ok(Math.abs(divergence(p, q) - plainDivergence(p, q)) < 1e-13);
  assert.notEqual(divergence(p, q).toFixed(6), divergence(q, p).toFixed(6), 'it has a direction');
  // Two choices at 3/4 against 1/4: ½·log 3 by hand.
  const [even, odd] = [Float32Array.of(Math.log(3), 0), Float32Array.of(0, Math.log(3))];
  assert.ok(Math.abs(divergence(even, odd) - 0.5 * Math.log(3)) < 1e-7);
  assert.equal(divergence(p, p), 0);
  assert.ok(
    Math.abs(
      divergence(
        p,
        p.map((logit) => logit + 8),
      ),
    ) < 1e-13,
    'logits count up to a number',
  );
  const far = divergence(Float32Array.of(0, -300), Float32Array.of(-300, 0));
  assert.ok(Math.abs(far - 300) < 1e-9, 'large logits do not overflow');
});

test('each token is judged behind all before it, as in passes over the whole text', async () => {
  const cache = new ProgramCache(runtime);
  const { ids } = readGolden('llama');
  const { float32MaxDifference } = readGolden('qwen2');
  const [writer, other] = await Promise.all(
    ['llama', 'qwen2'].map(async (name) => {
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const options = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS } as const;
      return new Network(cache, checkpoint, { ...options, centreEmbedding: false });
    }),
  );
  const all = Int32Array.from(ids);
  const width = writer!.checkpoint.config.vocabSize;
  const rows = async (network: Network): Promise<Float32Array[]> => {
    const logits = await sequenceLogits(network, all);
    return Array.from(all, (_, place) => logits.subarray(place * width, (place + 1) * width));
  };
  const [written, expected] = await Promise.all([rows(writer!), rows(other!)]);
  const prompt = all.subarray(0, 5);
  const text = { prompt, ids: ids.slice(5), logits: written.slice(4, -1) };
  const judged: TokenJudgement[] = [];
  for await (const token of judgeText(other!, text)) judged.push(token);
  assert.equal(judged.length, ids.length - 5);
  // Logits token by token and at once differ by 8 of these at most (decoder.test.ts), and so does their log-partition.
  const bound = 16 * float32MaxDifference;
  for (const [place, { logProbability, divergence: found }] of judged.entries()) {
    const logits = expected[place + 4]!;
    const wanted = Math.log(softmax(logits)[text.ids[place]!]!);
    assert.ok(Math.abs(logProbability - wanted) <= bound, `${place}: ${logProbability} of ${wanted}`);
    const distance = plainDivergence(written[place + 4]!, logits);
    assert.ok(distance > 0 && Math.abs(found - distance) <= bound, `${place}: ${found} of ${distance}`);
  }
  await cache.release();
});

test('means over a text', () => {
  const judged = [
    { logProbability: -1, divergence: 0.5 },
    { logProbability: -3, divergence: 0.1 },
  ];
  const { tokens, perplexity, meanDifference, meanDivergence } = summarize(judged, [-0.5, -2])!;
  assert.equal(tokens, 2);
  assert.ok(Math.abs(perplexity - Math.exp(2)) < 1e-12);
  assert.equal(meanDifference, -0.75);
  assert.equal(meanDivergence, 0.3);
  assert.equal(summarize([], []), null);
});
