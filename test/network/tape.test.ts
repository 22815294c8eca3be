import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { NetworkMode } from '../../src/engine/network/layer-programs.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import { type TapeLevel, tapeBytes } from '../../src/engine/network/tape.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
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
  const { network } = rotatedNetwork(cache, checkpoint, {
    mode,
    quantizers: tinyQuantizers(config, mode === 'merged' ? 4 : 16),
    memory: { ...DEFAULT_MEMORY, tapeBytes: budget },
  });
  const windows = differentWindows(config, SHAPE.batch, SHAPE.sequence);
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
      assert.ok(recomputed.gradients.residual![0]!.some((value) => Math.abs(value) > 1e-4));
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
