import { existsSync } from 'node:fs';
import type { ResolvedExperiment } from '../../config/index.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { type RunEvent, type StepEvent, timed } from '../../protocol/events.ts';
import { type LossSummary, readEvents } from '../../runs/index.ts';
import { type SeamState, seamsIn } from '../network/seams.ts';
import { orthogonalityError, polarProjection } from '../rotation/orthogonal.ts';
import { writeRotations } from '../rotation/rotation-file.ts';
import { type LearnStep, NO_MEMORY } from '../transform/learning/learner.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { givenMaps, learnedSeams, namedRotations } from './experiment-maps.ts';
import { learnBySteps } from './learners.ts';
import { readCheckpoint } from './learning-checkpoint.ts';
import { phase } from './phases.ts';
import type { StepContext } from './step.ts';
import { stepEvent } from './step-event.ts';
import type { Learned } from './steps/maps.ts';
import { labelOf } from './workbench.ts';

/** Learns maps, or goes on where a run was stopped, takes the last rounding drift out of them and writes them. */
export async function* learnMaps(
  context: StepContext,
  initial: SeamState,
  blocks: readonly Int32Array[],
  key: string,
): AsyncGenerator<RunEvent, Learned> {
  const { bench, places, seconds } = context;
  const learned = yield* phase('learn', seconds, () => learnAll(context, initial, blocks));
  const state = yield* phase('fuse', seconds, async () => {
    const projected = projectLearned(bench.experiment, learned.state);
    const path = await places.make('rotations');
    await writeRotations(path, namedRotations(projected), {
      bits: labelOf(bench),
      model: await bench.checkpoint.hash(),
      seed: String(bench.experiment.rotation.seed),
      key,
    });
    return projected;
  });
  return { ...learned, state };
}

/** Maps that a run learned under the same key before it was stopped; null where it has not ended learning. */
export async function keptLearning({ bench, places }: StepContext, key: string): Promise<Learned | null> {
  const [path, events] = [places.own('rotations'), places.own('events')];
  if (path === null || events === null || !existsSync(path)) return null;
  if (readSafetensorsHeader(path).metadata.key !== key) return null;
  const losses = stepLosses(await readEvents(events));
  if (losses.length === 0) return null;
  const { experiment, checkpoint } = bench;
  const state = await givenMaps(experiment, checkpoint.config, path);
  return { state, loss: summary(losses), steps: experiment.rotation.learning.steps };
}

/** A `step` event for each step; the state after the last whole step is always on disk. */
async function* learnAll(
  { bench, places, signal }: StepContext,
  initial: SeamState,
  blocks: readonly Int32Array[],
): AsyncGenerator<RunEvent, Learned> {
  const { steps, objective } = bench.experiment.rotation.learning;
  const folder = await places.make('checkpoint');
  const from = readCheckpoint(folder) ?? { step: 0, state: initial, memory: NO_MEMORY };
  // Learning on captured activations takes seconds and carries an optimizer state: it starts over, to the same bits.
  const writer = objective === 'cross-entropy' ? new CheckpointWriter(folder, bench.checkpoint.files) : null;
  const events = await readEvents(await places.make('events'));
  const losses = stepLosses(events, from.step);
  const learning = learnBySteps(bench, blocks, initial, from, signal);
  let last: LearnStep | null = null;
  try {
    for (;;) {
      const next = await learning.next();
      if (next.done) return { state: next.value, loss: summary(losses), steps };
      last = next.value;
      losses.push(last.loss);
      yield stepEvent(last, steps, initial);
      if (writer?.isDue(last, steps)) {
        await writer.write(last);
        yield timed({ type: 'checkpoint', step: last.step });
      }
    }
  } finally {
    // Cancelled or left in the middle: keep the steps that were finished.
    if (last) await writer?.write(last);
  }
}

/** Losses of the steps up to one, in their order. */
function stepLosses(events: readonly RunEvent[], upTo = Number.POSITIVE_INFINITY): number[] {
  return events
    .filter((event): event is StepEvent => event.type === 'step' && event.step <= upTo)
    .map(({ loss }) => loss);
}

function summary(losses: readonly number[]): LossSummary {
  return { first: losses[0] ?? Number.NaN, last: losses.at(-1) ?? Number.NaN };
}

/** The final polar projection of learned maps. Drawn ones stay as they are: a measurement draws them again. */
function projectLearned(experiment: ResolvedExperiment, state: SeamState): SeamState {
  const project = (matrix: Float32Array): Float32Array =>
    Float32Array.from(polarProjection(Float64Array.from(matrix), Math.sqrt(matrix.length), 1e-9));
  const projected = learnedSeams(experiment).map((seam) => [seam, state[seam]?.map(project)] as const);
  return { ...state, ...Object.fromEntries(projected.filter(([, maps]) => maps !== undefined)) };
}

/** max |RᵀR − I| over all maps. */
export function worstError(state: SeamState): number {
  const errors = seamsIn(state).flatMap((seam) =>
    (state[seam] ?? []).map((matrix) =>
      orthogonalityError(Float64Array.from(matrix), Math.sqrt(matrix.length)),
    ),
  );
  return Math.max(0, ...errors);
}
