import { existsSync } from 'node:fs';
import { isThroughNetwork, type ResolvedExperiment } from '../../config/index.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, type StepEvent, timed } from '../../protocol/events.ts';
import { type LossSummary, RUN_FILES, readEvents } from '../../runs/index.ts';
import { type SeamState, seamsIn } from '../network/seams.ts';
import { transpose } from '../rotation/dense.ts';
import { orthogonalityError, polarProjection } from '../rotation/orthogonal.ts';
import { writeRotations } from '../rotation/rotation-file.ts';
import { type LearnStep, NO_MEMORY } from '../transform/learning/learner.ts';
import type { ExpectedCheckpoint } from './checkpoint-fault.ts';
import { checkSameInputs, originOf, otherKernels } from './checkpoint-origin.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { givenMaps, learnedSeams, namedRotations } from './experiment-maps.ts';
import { learnBySteps } from './learners.ts';
import { type KeptCheckpoint, readCheckpoint } from './learning-checkpoint.ts';
import { phase } from './phases.ts';
import type { StepContext } from './step.ts';
import { stepEvent } from './step-event.ts';
import type { Learned } from './steps/maps.ts';
import { labelOf, type Workbench } from './workbench.ts';

/** Learns maps, or goes on where a run was stopped, takes the last rounding drift out of them and writes them. */
export async function* learnMaps(
  { context, bench }: { readonly context: StepContext; readonly bench: Workbench },
  initial: SeamState,
  blocks: readonly Int32Array[],
  key: string,
): AsyncGenerator<RunEvent, Learned> {
  const { places, seconds, signal } = context;
  const learning = { bench, places, signal };
  const learned = yield* phase('learn', seconds, () => learnAll(learning, initial, blocks, key));
  const state = yield* phase('fuse', seconds, async () => {
    const projected = projectLearned(bench.experiment, learned.state);
    const path = await places.make('rotations');
    await writeRotations(path, namedRotations(projected, bench.checkpoint.config), {
      bits: labelOf(bench),
      model: await bench.checkpoint.hash(),
      seed: String(bench.experiment.rotation.seed),
      key,
    });
    return projected;
  });
  return { ...learned, state };
}

/**
 * Maps that a run learned under the same key before it was stopped; null where it has not ended learning, or where they
 * or the losses cannot be read: then it is learned again, from the checkpoint.
 */
export async function keptLearning({ bench, places }: StepContext, key: string): Promise<Learned | null> {
  const [path, events] = [places.own('rotations'), places.own('events')];
  if (path === null || events === null || !existsSync(path)) return null;
  try {
    if (readSafetensorsHeader(path).metadata.key !== key) return null;
    const losses = stepLosses(await readEvents(events));
    const { experiment, checkpoint } = bench;
    const { steps } = experiment.rotation.learning;
    if (losses.length < steps) return null;
    const state = await givenMaps(experiment, checkpoint.config, path);
    return { state, loss: summary(losses, null), steps };
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** A `step` event for each step; the state after the last whole step is always on disk. */
async function* learnAll(
  { bench, places, signal }: Pick<StepContext, 'bench' | 'places' | 'signal'>,
  initial: SeamState,
  blocks: readonly Int32Array[],
  key: string,
): AsyncGenerator<RunEvent, Learned> {
  const { steps, objective } = bench.experiment.rotation.learning;
  const folder = await places.make('checkpoint');
  const origin = await originOf(bench, key, blocks, initial);
  // Learning on captured activations takes seconds and carries an optimizer state: it starts over, to the same bits.
  const isKept = isThroughNetwork(objective);
  const kept = isKept ? readCheckpoint(folder, expectedOf(bench, initial)) : null;
  if (kept?.origin) {
    checkSameInputs(bench.experiment, kept.step, kept.origin, origin);
    const warning = otherKernels(kept.origin, origin);
    if (warning !== null) yield warning;
  }
  const from = kept ?? { step: 0, state: initial, memory: NO_MEMORY };
  const writer = isKept ? new CheckpointWriter(places, folder, origin, bench.checkpoint.files) : null;
  places.dropStepsAfter(from.step);
  const losses = stepLosses(await readEvents(await places.make('events')), from.step);
  const loss = () => summary(losses, kept);
  if (losses.length < from.step && !kept?.loss) yield lostLosses(from.step);
  const learning = learnBySteps(bench, blocks, initial, from, signal);
  let last: LearnStep | null = null;
  try {
    for (;;) {
      const next = await learning.next();
      if (next.done) return { state: next.value, loss: loss(), steps };
      last = next.value;
      losses.push({ step: last.step, loss: last.loss });
      yield stepEvent(last, steps, initial);
      if (writer?.isDue(last, steps)) {
        await writer.write(last, loss());
        yield timed({ type: 'checkpoint', step: last.step });
      }
    }
  } finally {
    // Cancelled or left in the middle: keep the steps that were finished.
    if (last) await writer?.write(last, loss());
  }
}

/** What the experiment's learner keeps. */
function expectedOf({ experiment }: Workbench, initial: SeamState): ExpectedCheckpoint {
  const { steps, optimizer, weightClipEvery } = experiment.rotation.learning;
  return {
    initial,
    steps,
    moments: optimizer === 'lie-adam' ? learnedSeams(experiment) : [],
    searched: weightClipEvery > 1,
  };
}

/** Losses of the steps up to one, in their order. */
function stepLosses(events: readonly RunEvent[], upTo = Number.POSITIVE_INFINITY): StepLoss[] {
  return events
    .filter((event): event is StepEvent => event.type === 'step' && event.step <= upTo)
    .map(({ step, loss }) => ({ step, loss }));
}

type StepLoss = Pick<StepEvent, 'step' | 'loss'>;

/** Lines of the log may be lost; the checkpoint knows the losses too, unless an earlier version wrote it. */
function summary(losses: readonly StepLoss[], kept: KeptCheckpoint | null): LossSummary {
  const first = losses[0]?.step === 1 ? losses[0].loss : kept?.loss?.first;
  const last = losses.at(-1)?.loss ?? kept?.loss?.last;
  return { first: first ?? Number.NaN, last: last ?? Number.NaN };
}

function lostLosses(step: number): RunEvent {
  return timed({
    type: 'warning',
    message: `The losses of steps up to ${step} are not all in ${RUN_FILES.events}: the first loss may be unknown.`,
    hint: 'The rotations do not depend on it.',
  });
}

/** The final polar projection of learned maps. Drawn ones stay as they are: a measurement draws them again. */
function projectLearned(experiment: ResolvedExperiment, state: SeamState): SeamState {
  const project = (matrix: Float32Array): Float32Array =>
    Float32Array.from(polarProjection(Float64Array.from(matrix), Math.sqrt(matrix.length), 1e-9));
  const projected = learnedSeams(experiment).map((seam) => [seam, state[seam]?.map(project)] as const);
  return { ...state, ...Object.fromEntries(projected.filter(([, maps]) => maps !== undefined)) };
}

/** Largest distances of maps from being orthogonal, as results record them. */
export type OrthogonalityErrors = Readonly<Record<'orthogonalityError' | 'rowOrthogonalityError', number>>;

/** max |RᵀR − I| and max |RRᵀ − I| over all maps, in float64. */
export function worstErrors(state: SeamState): OrthogonalityErrors {
  const worst = { orthogonalityError: 0, rowOrthogonalityError: 0 };
  for (const matrix of seamsIn(state).flatMap((seam) => state[seam] ?? [])) {
    const [n, exact] = [Math.sqrt(matrix.length), Float64Array.from(matrix)];
    const [columns, rows] = [orthogonalityError(exact, n), orthogonalityError(transpose(exact, n), n)];
    worst.orthogonalityError = Math.max(worst.orthogonalityError, columns);
    worst.rowOrthogonalityError = Math.max(worst.rowOrthogonalityError, rows);
  }
  return worst;
}
