/** Loss, derivatives and first update of LLM-QAT against bench/peers/llm_qat.py, which computes them in float64. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseExperiment } from '../../src/config/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { stepAdamW } from '../../src/engine/training/adam-w.ts';
import { Student } from '../../src/engine/training/student.ts';
import { Teacher } from '../../src/engine/training/teacher.ts';
import { accumulate } from '../../src/engine/training/train.ts';
import { weightsOf, zerosLike } from '../../src/engine/training/weight-set.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

interface Golden {
  readonly weightBits: number;
  readonly bits: number;
  readonly learningRate: number;
  readonly ids: readonly (readonly number[])[];
  /** Σ_tokens KL / batch. */
  readonly loss: number;
  /** Of each weight, the norm of the derivative, and some numbers of the derivative and of the first update. */
  readonly tensors: Readonly<
    Record<
      string,
      {
        readonly norm: number;
        readonly at: readonly number[];
        readonly gradient: readonly number[];
        readonly update: readonly number[];
      }
    >
  >;
}

const golden = JSON.parse(
  readFileSync(new URL('../fixtures/llm-qat.json', import.meta.url), 'utf8'),
) as Golden;

/**
 * No number changes its grid point in float32 (the peer looks for such tokens), so that only roundings add up: two layers
 * of seven products with up to 48 terms, forward and backward, err by the square root of their terms.
 */
const ROUNDING = 2 * 2 * 7 * Math.sqrt(48) * 2 ** -24;

function quantizers(bits: number, weightBits: number, config: ModelConfig) {
  const at = { bits };
  const quantization = {
    ...{ weights: { bits: weightBits, clip: false }, activations: at, keys: at, values: at },
  };
  const { experiment } = parseExperiment(JSON.stringify({ model: 'm', quantization }), 'x');
  assert.ok(experiment);
  return quantizersOf(experiment.quantization, experiment.rotation, config);
}

for (const kernels of KERNELS) {
  for (const tokensAtOnce of [2048, 6]) {
    test(`loss, derivatives and first update (${kernels} kernels, ${tokensAtOnce} tokens at once)`, async () => {
      const checkpoint = await openCheckpoint(goldenFolder('llama'));
      const { config } = checkpoint;
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const none = {
        mode: 'plain',
        quantizers: FULL_PRECISION,
        maps: NO_MAPS,
        centreEmbedding: false,
      } as const;
      const teacher = new Teacher(cache, new Network(cache, checkpoint, none));
      const weights = weightsOf(checkpoint);
      const { quantizers: own } = quantizers(golden.bits, golden.weightBits, config);
      // Chunks of logits that do not divide the tokens.
      const memory = { ...DEFAULT_MEMORY, tokensAtOnce, logitElements: 5 * config.vocabSize };
      const student = new Student(cache, weights, { config, quantizers: own, memory });
      const blocks = golden.ids.map((ids) => Int32Array.from(ids));
      const loss = (await accumulate(cache, { student, teacher }, blocks)) * blocks[0]!.length;
      near(loss, golden.loss, ROUNDING * golden.loss, 'loss');
      const derivatives = await student.derivatives();
      assert.deepEqual([...derivatives.keys()].sort(), Object.keys(golden.tensors).sort());
      const before = weightsOf(checkpoint);
      const moments = { first: zerosLike(weights), second: zerosLike(weights) };
      stepAdamW(weights, derivatives, moments, { step: 1, learningRate: golden.learningRate });
      let updates = 0;
      for (const [name, { norm, at, gradient, update }] of Object.entries(golden.tensors)) {
        const found = derivatives.get(name)!;
        near(Math.hypot(...found), norm, ROUNDING * norm, `norm of ${name}`);
        for (const [index, place] of at.entries()) {
          near(found[place]!, gradient[index]!, ROUNDING * norm, `derivative of ${name}[${place}]`);
          // The first update is η·sign(g): a derivative near 0 decides nothing.
          if (Math.abs(gradient[index]!) < 100 * ROUNDING * norm) continue;
          const [from, to] = [before.get(name)!.data[place]!, weights.get(name)!.data[place]!];
          // Half a unit in the last place of the weight, and ε / |g| beside 1.
          const bound = Math.abs(from) * 2 ** -24 + golden.learningRate * 1e-3;
          near(to - from, update[index]!, bound, `update of ${name}[${place}]`);
          updates++;
        }
      }
      assert.ok(updates > 60, `${updates} updates compared`);
      await cache.release();
      runtime.close();
    });
  }
}

function near(found: number, expected: number, bound: number, what: string): void {
  assert.ok(Math.abs(found - expected) <= bound, `${what}: ${found} against ${expected}, bound ${bound}`);
}
