import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lossAndGradients } from '../../src/engine/learn/gradient-step.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { NetworkMode } from '../../src/engine/network/layer-programs.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { ProgramCache } from '../../src/engine/network/programs.ts';
import { type TapeLevel, tapeBytes } from '../../src/engine/network/tape.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const SHAPE = { batch: 2, sequence: 12 };

interface Operators {
  readonly kernels: 'native' | 'composed';
  readonly instructionSet?: string;
}

/** Native ones also where the processor has no tiles. */
const OPERATORS: readonly Operators[] = KERNELS.flatMap((kernels): Operators[] =>
  kernels === 'native' ? [{ kernels }, { kernels, instructionSet: 'portable' }] : [{ kernels }],
);

/** Loss and gradients with a tape that holds so much of every layer. */
async function withLevel(operators: Operators, mode: NetworkMode, level: TapeLevel) {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { config } = checkpoint;
  const runtime = await createRuntime({ ...operators, threads: 1 });
  const cache = new ProgramCache(runtime);
  const activationCodes = operators.kernels === 'native' && mode === 'unrotated';
  const budget = config.layers * tapeBytes(config, { ...SHAPE, activationCodes }, level);
  const network = new Network(cache, checkpoint, {
    mode,
    quantizers: tinyQuantizers(config, mode === 'merged' ? 4 : 16),
    sites: {
      r1: true,
      r2: true,
      r3: planHadamard(config.headDim),
      r4: planHadamard(config.intermediateSize),
    },
    centreEmbedding: false,
    memory: { ...DEFAULT_MEMORY, tapeBytes: budget },
  });
  const sizes = { hidden: config.hiddenSize, headDim: config.headDim, layers: config.layers };
  network.setRotations(drawRotations(sizes, { r1: 'random', r2: 'random' }, new Rng(2)));
  const windows = Array.from({ length: SHAPE.batch }, (_, window) =>
    Int32Array.from({ length: SHAPE.sequence }, (_, i) => (i * 7 + window * 5 + i * i) % config.vocabSize),
  );
  const { loss, gradients } = await lossAndGradients(network, windows, SHAPE.batch);
  const { levels } = network.tape(SHAPE);
  const codes = network.tape(SHAPE).kept(0)['kept.mlpCodes']?.data ?? null;
  await cache.release();
  runtime.close();
  return { loss, gradients, levels, codes };
}

for (const operators of OPERATORS)
  for (const mode of ['unrotated', 'merged'] as const)
    test(`what is kept and what is computed again is the same: ${Object.values(operators).join(' ')}, ${mode}`, async () => {
      const recomputed = await withLevel(operators, mode, 'nothing');
      assert.ok(recomputed.gradients.r1!.some((value) => Math.abs(value) > 1e-4));
      const hasCodes = operators.kernels === 'native' && mode === 'unrotated';
      for (const level of ['codes', 'attention', 'all'] as const) {
        const kept = await withLevel(operators, mode, level);
        const reached = level === 'codes' && !hasCodes ? 'nothing' : level;
        assert.ok(
          kept.levels.every((one) => one === reached),
          `${kept.levels}, asked for ${level}`,
        );
        assert.equal(kept.codes !== null, hasCodes);
        if (kept.codes) assert.ok(new Set(kept.codes as Int8Array).size > 8, 'the codes differ');
        assert.equal(kept.loss, recomputed.loss);
        assert.deepEqual(kept.gradients, recomputed.gradients);
      }
    });
