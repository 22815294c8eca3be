import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { roundsByGptq } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { RUN_FILES } from '../../runs/index.ts';
import type { RotationState } from '../learn/learner.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { roundWeights } from '../rounding/round-weights.ts';
import { RoundedLayers } from '../rounding/rounded-layers.ts';
import { hadamardStatements, rotationSites, roundingNetwork } from './networks.ts';
import { type PhaseSeconds, phase } from './phases.ts';
import { calibrationBlocks, type Workbench } from './workbench.ts';

/**
 * Rounds the weights as the experiment says, in a phase of its own.
 * @param blocks the calibration text.
 * @returns null where weights are rounded to nearest, which a network does by itself.
 */
export async function* roundPhase(
  bench: Workbench,
  rotations: RotationState,
  blocks: readonly Int32Array[],
  folder: string,
  seconds: PhaseSeconds,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, RoundedSource | null> {
  const { quantization } = bench.experiment;
  if (!roundsByGptq(quantization)) return null;
  const some = blocks.slice(0, quantization.weights.gptq.samples);
  const layers = new RoundedLayers(folder, await keyOf(bench, rotations, some));
  yield* phase('round', seconds, () => roundOn(bench, rotations, some, layers, signal));
  return layers;
}

/**
 * The same for a measurement that leaves no weights behind: those of a run serve if they are the same, others are made
 * in a folder of their own.
 * @param runs folders of runs, or other paths.
 * @param use what is done with the weights while they are there.
 */
export async function* withRounded<T>(
  bench: Workbench,
  rotations: RotationState,
  runs: readonly string[],
  use: (rounded: RoundedSource | null) => AsyncGenerator<RunEvent, T>,
  seconds: PhaseSeconds,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, T> {
  const { quantization } = bench.experiment;
  if (!roundsByGptq(quantization)) return yield* use(null);
  const blocks = yield* phase('tokenize', seconds, () => calibrationBlocks(bench, signal));
  const some = blocks.slice(0, quantization.weights.gptq.samples);
  const key = await keyOf(bench, rotations, some);
  for (const run of runs) {
    const known = new RoundedLayers(join(run, RUN_FILES.rounded), key);
    if (known.isComplete(bench.checkpoint.config.layers)) return yield* use(known);
  }
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-rounded-'));
  try {
    const layers = new RoundedLayers(folder, key);
    yield* phase('round', seconds, () => roundOn(bench, rotations, some, layers, signal));
    return yield* use(layers);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function roundOn(
  bench: Workbench,
  rotations: RotationState,
  blocks: readonly Int32Array[],
  layers: RoundedLayers,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const network = roundingNetwork(bench, rotations);
  const { damping } = bench.experiment.quantization.weights.gptq;
  return roundWeights(bench.cache, { network, blocks, damping, layers }, signal);
}

/** Of everything that decides the rounded weights but the kernels. */
async function keyOf(
  bench: Workbench,
  { r1, r2 }: RotationState,
  blocks: readonly Int32Array[],
): Promise<string> {
  const { experiment, checkpoint } = bench;
  const { gptq, ...grid } = experiment.quantization.weights;
  const settings = {
    model: await checkpoint.hash(),
    grid,
    damping: gptq.damping,
    hadamard: hadamardStatements({ ...rotationSites(experiment, checkpoint.config), r3: null }),
    centring: experiment.rotation.embeddingCentring,
  };
  const hash = createHash('sha256').update(JSON.stringify(settings));
  for (const data of [...(r1 ? [r1] : []), ...(r2 ?? []), ...blocks]) {
    hash.update(`\n${data.length}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
