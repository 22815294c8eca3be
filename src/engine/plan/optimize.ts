import { experimentSlug, hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { createRun, openRun, type PerplexityResult, type Run } from '../../runs/index.ts';
import type { OptimizeOptions, OptimizeResult } from '../api.ts';
import { collectActivations } from '../calibration/statistics/activations.ts';
import type { PerplexityText } from '../evaluate/perplexity.ts';
import { checkPreservation } from '../evaluate/preservation.ts';
import { evaluateTexts, labelOf } from '../evaluate/texts.ts';
import { scanForNonFinite } from '../model/scan.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { orthogonalityError, polarProjection } from '../rotation/orthogonal.ts';
import { writeRotations } from '../rotation/rotation-file.ts';
import { NO_MEMORY, type RotationState } from '../transform/learning/learner.ts';
import { learnPhase } from './learn-phase.ts';
import { readCheckpoint } from './learning-checkpoint.ts';
import {
  deployedNetwork,
  hadamardStatements,
  plainNetwork,
  rotatedNetwork,
  rotationSites,
  startingRotations,
} from './networks.ts';
import { type PhaseSeconds, phase } from './phases.ts';
import { provenanceOf } from './provenance.ts';
import { recordRun } from './record-run.ts';
import { roundPhase } from './rounding.ts';
import {
  calibrationBlocks,
  deviceStatement,
  evaluationTexts,
  openWorkbench,
  type Workbench,
} from './workbench.ts';

/** Learns the rotations marked `learned`, writes a run folder, evaluates. See {@link Engine.optimizeRotation}. */
export async function* optimizeRotation(
  experiment: ResolvedExperiment,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, OptimizeResult> {
  if (!hasLearnedRotation(experiment.rotation)) {
    throw new UserError(
      'rotation/nothing-to-learn',
      'Neither rotation.r1 nor rotation.r2 is "learned".',
      'Mark one of them "learned", or use evaluate.',
    );
  }
  const run = await claimRun(experiment, options);
  const own = options.resumeFrom === undefined ? experiment : await run.readExperiment();
  return yield* recordRun(run, optimizeInRun(run, own, options));
}

/** A new run folder, or the one to resume, cut back to its last checkpoint. */
async function claimRun(experiment: ResolvedExperiment, options: OptimizeOptions): Promise<Run> {
  if (options.resumeFrom === undefined) return createRun(experiment, experimentSlug(experiment.source.file));
  const run = await openRun(options.resumeFrom);
  if (run.record.status === 'finished') {
    throw new UserError('runs/finished', `The run ${run.record.id} is finished.`, 'Start a new run.');
  }
  run.resume();
  run.truncateEventsAfterStep(readCheckpoint(run.path('checkpoint'))?.step ?? 0);
  return run;
}

async function* optimizeInRun(
  run: Run,
  experiment: ResolvedExperiment,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, OptimizeResult> {
  const { signal } = options;
  const seconds: PhaseSeconds = {};
  const bench = yield* phase('load', seconds, () => openWorkbench(experiment, options), experiment.model);
  try {
    run.setProvenance(await provenanceOf(bench));
    const resumed = readCheckpoint(run.path('checkpoint'));
    yield timed({
      type: 'run-started',
      job: 'optimize',
      run: run.dir,
      bits: labelOf(bench),
      runtime: bench.runtime.description,
      resumedFromStep: resumed?.step ?? 0,
    });
    yield* deviceStatement(bench);
    yield* statements(bench);
    yield* phase('scan', seconds, () => scanForNonFinite(bench.checkpoint, signal));
    const texts = yield* phase('tokenize', seconds, () => tokenizeAll(bench, signal));
    const initial = startingRotations(experiment, bench.checkpoint.config);
    yield* preservation(bench, initial, texts.blocks[0]!, 'starting rotations', seconds, signal);
    const learned = yield* phase('learn', seconds, () =>
      learnPhase(
        bench,
        run,
        texts.blocks,
        initial,
        resumed ?? { step: 0, state: initial, memory: NO_MEMORY },
        signal,
      ),
    );
    const rotations = yield* phase('fuse', seconds, () => projectAndWrite(run, bench, learned.state));
    yield* preservation(bench, rotations, texts.blocks[0]!, 'learned rotations', seconds, signal);
    const rounded = yield* roundPhase(bench, rotations, texts.blocks, run.path('rounded'), seconds, signal);
    const perplexity = yield* phase('evaluate', seconds, () =>
      evaluateBoth(bench, texts.evaluation, rotations, rounded, signal),
    );
    yield* phase('statistics', seconds, () =>
      collectActivations(bench, rotations, texts.blocks, run, signal),
    );
    const error = worstError(rotations);
    const { loss, steps } = learned;
    run.writeResults({
      version: 1,
      bits: labelOf(bench),
      loss,
      orthogonalityError: error,
      steps,
      perplexity,
      seconds,
    });
    return { run: run.dir, loss, orthogonalityError: error, steps, perplexity, device: bench.runtime.device };
  } finally {
    await bench.close();
  }
}

/** Everything is tokenized before any work, so that a text that is too short is found at once. */
async function tokenizeAll(
  bench: Workbench,
  signal?: AbortSignal,
): Promise<{ blocks: Int32Array[]; evaluation: PerplexityText[] }> {
  return { blocks: await calibrationBlocks(bench, signal), evaluation: await evaluationTexts(bench, signal) };
}

/** Says how the fixed Hadamard transforms were made. */
function* statements(bench: Workbench): Generator<RunEvent> {
  const sites = rotationSites(bench.experiment, bench.checkpoint.config);
  for (const statement of hadamardStatements(sites)) {
    yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail: statement });
  }
}

/** Measures that the rotations leave the full-precision function alone. */
async function* preservation(
  bench: Workbench,
  rotations: RotationState,
  ids: Int32Array,
  where: string,
  seconds: PhaseSeconds,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const event = yield* phase('preserve-check', seconds, () =>
    checkPreservation(plainNetwork(bench), rotatedNetwork(bench, rotations), ids, where, signal),
  );
  yield event;
  if (event.relative <= event.tolerance) return;
  const centring = bench.experiment.rotation.embeddingCentring;
  yield timed({
    type: 'warning',
    message: `The ${where} change the full-precision logits by ${event.relative.toExponential(1)} of their size; rounding explains ${event.tolerance.toExponential(1)}.`,
    hint: centring
      ? 'rotation.embeddingCentring is on: it changes the function of RMSNorm networks.'
      : 'The results below may not belong to this model: please report this.',
  });
}

/**
 * The final polar projection takes the last rounding drift out of the learned rotations; then all are written. Drawn
 * ones stay as they are: a measurement draws them again.
 */
async function projectAndWrite(run: Run, bench: Workbench, state: RotationState): Promise<RotationState> {
  const { r1, r2 } = bench.experiment.rotation;
  const project = (matrix: Float32Array): Float32Array =>
    Float32Array.from(polarProjection(Float64Array.from(matrix), Math.sqrt(matrix.length), 1e-9));
  const rotations = {
    r1: state.r1 && r1 === 'learned' ? project(state.r1) : state.r1,
    r2: state.r2 && r2 === 'learned' ? state.r2.map(project) : state.r2,
  };
  await writeRotations(run.path('rotations'), rotations, {
    bits: labelOf(bench),
    model: await bench.checkpoint.hash(),
    seed: String(bench.experiment.rotation.seed),
  });
  return rotations;
}

function evaluateBoth(
  bench: Workbench,
  texts: readonly PerplexityText[],
  rotations: RotationState,
  rounded: RoundedSource | null,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, PerplexityResult[]> {
  const networks = {
    'full-precision': () => plainNetwork(bench),
    quantized: () => deployedNetwork(bench, rotations, rounded),
  };
  return evaluateTexts(texts, networks, signal);
}

/** max |RᵀR − I| over all rotations. */
function worstError({ r1, r2 }: RotationState): number {
  const errors = [...(r1 ? [r1] : []), ...(r2 ?? [])].map((matrix) =>
    orthogonalityError(Float64Array.from(matrix), Math.sqrt(matrix.length)),
  );
  return Math.max(0, ...errors);
}
