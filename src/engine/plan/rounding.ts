import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { roundingOf } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { RUN_FILES } from '../../runs/index.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { roundWeights } from '../rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../rounding/rounded-layers.ts';
import type { RotationState } from '../transform/learning/learner.ts';
import { hadamardStatements, rotationSites, roundingNetwork } from './networks.ts';
import { type PhaseSeconds, phase } from './phases.ts';
import { makeScratchFolder } from './scratch-folder.ts';
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
  if (!roundingOf(bench.experiment.quantization)?.compensates) return null;
  const text = await textOf(bench, rotations, blocks);
  return yield* roundInto(folder, bench, rotations, text, seconds, signal);
}

export interface RoundingPlaces {
  readonly runs: readonly string[];
  readonly scratch: string;
}

/**
 * The same for a measurement that leaves no weights behind: those of a run serve if they are the same, others are made
 * in a folder of their own.
 * @param places runs whose weights may serve, by their folder or a file in it, and where a folder can be made.
 * @param use what is done with the weights while they are there.
 */
export async function* withRounded<T>(
  bench: Workbench,
  rotations: RotationState,
  places: RoundingPlaces,
  use: (rounded: RoundedSource | null) => AsyncGenerator<RunEvent, T>,
  seconds: PhaseSeconds,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, T> {
  if (!roundingOf(bench.experiment.quantization)?.compensates) return yield* use(null);
  const blocks = yield* phase('tokenize', seconds, () => calibrationBlocks(bench, signal));
  const text = await textOf(bench, rotations, blocks);
  for (const named of places.runs) {
    const run = statSync(named).isDirectory() ? named : dirname(named);
    const known = new RoundedLayers(join(run, RUN_FILES.rounded), text.key);
    if (known.isComplete(bench.checkpoint.config.layers)) return yield* use(known);
  }
  const folder = await makeScratchFolder(places.scratch);
  try {
    return yield* use(yield* roundInto(folder.path, bench, rotations, text, seconds, signal));
  } finally {
    await folder.remove();
  }
}

/** What GPTQ looks at, with a key of all that then decides the weights. */
interface RoundingText {
  readonly blocks: readonly Int32Array[];
  readonly key: string;
}

async function textOf(
  bench: Workbench,
  rotations: RotationState,
  all: readonly Int32Array[],
): Promise<RoundingText> {
  const blocks = all.slice(0, bench.experiment.quantization.weights.gptq.samples);
  return { blocks, key: await keyOf(bench, rotations, blocks) };
}

async function* roundInto(
  folder: string,
  bench: Workbench,
  rotations: RotationState,
  { blocks, key }: RoundingText,
  seconds: PhaseSeconds,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, RoundedLayers> {
  const layers = new RoundedLayers(folder, key);
  const { damping } = bench.experiment.quantization.weights.gptq;
  const task = { network: roundingNetwork(bench, rotations), blocks, damping, layers };
  yield* phase('round', seconds, () => roundWeights(bench.cache, task, signal));
  return layers;
}

/** Raised when weights come out otherwise than in the version before. */
const FORMAT = 1;

/** Of everything that decides the rounded weights to the bit. */
async function keyOf(
  bench: Workbench,
  { r1, r2 }: RotationState,
  blocks: readonly Int32Array[],
): Promise<string> {
  const { experiment, checkpoint } = bench;
  const { gptq, ...grid } = experiment.quantization.weights;
  const settings = {
    format: FORMAT,
    kernels: bench.runtime.kernels,
    device: bench.runtime.device.kind,
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
