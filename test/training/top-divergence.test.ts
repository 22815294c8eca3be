/** KL-Top: against a textbook loop and its finite differences, and as what rotations are learned by. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { sharedHeadExpression } from '../../src/engine/training/divergence.ts';
import { TopDivergence } from '../../src/engine/training/top-divergence.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const [TOKENS, WIDTH, VOCABULARY] = [5, 6, 23];
let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
});
after(() => runtime.close());

type Numbers = Float64Array;

/** Softmax over the vocabulary of each token, by its definition. */
function probabilities(hidden: Numbers, head: Numbers): number[][] {
  return Array.from({ length: TOKENS }, (_, t) => {
    const powers = Array.from({ length: VOCABULARY }, (_, v) => {
      let logit = 0;
      for (let c = 0; c < WIDTH; c++) logit += hidden[t * WIDTH + c]! * head[v * WIDTH + c]!;
      return Math.exp(logit);
    });
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  });
}

/** OSTQuant, eq. 9: Σ p (log p − log q) over the ids of the teacher's largest probabilities, of each token. */
function textbook(target: Numbers, hidden: Numbers, head: Numbers, top: number): number[] {
  const [p, q] = [probabilities(target, head), probabilities(hidden, head)];
  return p.map((ofToken, t) =>
    ofToken
      .map((_, id) => id)
      .sort((a, b) => ofToken[b]! - ofToken[a]!)
      .slice(0, top)
      .reduce((sum, id) => sum + ofToken[id]! * (Math.log(ofToken[id]!) - Math.log(q[t]![id]!)), 0),
  );
}

function double(dims: readonly number[], data: Numbers): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data };
}

for (const top of [1, 7, VOCABULARY, 1000])
  test(`the ${top} likeliest of ${VOCABULARY} tokens: values and derivatives are the textbook's`, async () => {
    const random = noise(5);
    const numbers = (count: number) => Float64Array.from({ length: count }, () => 2 * random());
    const head = numbers(VOCABULARY * WIDTH);
    const [target, hidden] = [numbers(TOKENS * WIDTH), numbers(TOKENS * WIDTH)];
    const spec = { tokens: TOKENS, width: WIDTH, vocabulary: VOCABULARY, headType: 'float64', top } as const;
    const { graph, ...outputs } = sharedHeadExpression(spec, 'float64');
    const program = await Program.compile(runtime, graph, outputs);
    const rows = (data: Numbers) => double([TOKENS, WIDTH], data);
    const given = { head: double([VOCABULARY, WIDTH], head), target: rows(target), hidden: rows(hidden) };
    const found = await program.run(given);
    const expected = textbook(target, hidden, head, top);
    // Sums of 23 terms of order one in float64.
    for (const [t, value] of expected.entries())
      assert.ok(Math.abs(Number(found.divergence!.data[t]) - value) < 1e-12, `${t}`);
    const loss = (at: Numbers) => textbook(target, at, head, top).reduce((sum, one) => sum + one, 0);
    // Central differences at 1e-5 are off by 1e-10 times third derivatives, and by eps/1e-5.
    const STEP = 1e-5;
    for (let i = 0; i < hidden.length; i++) {
      const moved = (by: number) => loss(hidden.map((value, other) => (other === i ? value + by : value)));
      const slope = (moved(STEP) - moved(-STEP)) / (2 * STEP);
      assert.ok(Math.abs(Number(found.dhidden!.data[i]) - slope) < 1e-7, `${i}`);
    }
  });

test('a network is no distance from itself, some behind quantizers, and parts of a batch add up', async () => {
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama3-scaled-tied'));
  const { config } = checkpoint;
  const plain = { mode: 'plain', maps: NO_MAPS, quantizers: FULL_PRECISION, centreEmbedding: false } as const;
  const loss = new TopDivergence(cache, new Network(cache, checkpoint, plain));
  const blocks = differentWindows(config, 3, 16);
  const of = async (quantizers: typeof FULL_PRECISION, microBatch: number) => {
    const { network } = rotatedNetwork(cache, checkpoint, { mode: 'unrotated', quantizers });
    return lossAndGradients(network, blocks, microBatch, undefined, loss);
  };
  const exact = await of(FULL_PRECISION, 3);
  // Logits in float32 are off by 1e-6, and what they lose by its square.
  assert.ok(Math.abs(exact.loss) < 1e-6, `${exact.loss}`);
  assert.equal(exact.tokens, 48);
  const [whole, parts] = [await of(tinyQuantizers(config, 16), 3), await of(tinyQuantizers(config, 16), 1)];
  assert.ok(whole.loss > 1e-3, `${whole.loss}`);
  assert.ok(Math.abs(parts.loss - whole.loss) < 1e-5 * whole.loss);
  const [r1, byParts] = [whole.gradients.residual![0]!, parts.gradients.residual![0]!];
  const largest = r1.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  assert.ok(largest > 1e-5, `${largest}`);
  // A rounding at a tie may go either way in float32 of other order; there is none here.
  for (const [index, value] of r1.entries())
    assert.ok(Math.abs(value - byParts[index]!) < 1e-3 * largest, `${index}`);
});
