import { experimentSlug, hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { createRun } from '../../runs/index.ts';
import { mixedBits } from './choose/budget.ts';
import { withExceptionsChosen } from './choose/choose-exceptions.ts';
import { planOptimize } from './experiment-plan.ts';
import { runJob } from './job.ts';
import { worstErrors } from './learned-maps.ts';
import type { OptimizeOptions, OptimizeResult } from './options.ts';
import { PeakMemory } from './peak-memory.ts';
import { Places } from './places.ts';
import { recordRun } from './record-run.ts';
import { type ClaimedRun, claimRun } from './resume.ts';
import { keyChoiceOf, statementsOf } from './statements.ts';
import { labelOf, type Workbench } from './workbench.ts';

/**
 * Learns the rotations marked `learned`, writes a run folder, evaluates.
 * @throws UserError `rotation/nothing-to-learn`, besides those of the model and of the texts.
 */
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
  const { resumeFrom, takeOver = false } = options;
  const claimed =
    resumeFrom === undefined
      ? newRun(yield* withExceptionsChosen(experiment, options, null))
      : await claimRun(resumeFrom, takeOver);
  return yield* recordRun(claimed.run, optimizeInRun(claimed, options));
}

function newRun(experiment: ResolvedExperiment): ClaimedRun {
  const run = createRun(experiment, experimentSlug(experiment.source.file));
  return { run, experiment, fromStep: 0, leftBy: null };
}

async function* optimizeInRun(
  { run, experiment, fromStep, leftBy }: ClaimedRun,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, OptimizeResult> {
  const setting = {
    job: 'optimize' as const,
    experiment,
    options,
    places: new Places(run.dir, [], run.dir, run),
    run: run.dir,
    resumedFromStep: fromStep,
    tell: run.setProvenance.bind(run),
  };
  return yield* runJob(setting, async function* (bench, executor) {
    using peak = new PeakMemory();
    if (leftBy !== null) yield takenOver(leftBy);
    yield* statements(bench);
    const plan = await planOptimize(bench.experiment, bench);
    const { learned, preserved, perplexity, statistics } = plan;
    const { state, loss, steps } = yield* executor.execute(learned);
    yield* executor.execute(preserved);
    const measured = yield* executor.execute(perplexity);
    const tasks = plan.tasks === null ? [] : yield* executor.execute(plan.tasks);
    yield* executor.executeOnLeader(statistics);
    const { seconds } = executor;
    const results = { loss, ...worstErrors(state), steps, perplexity: measured };
    const withTasks = { ...results, ...(tasks.length > 0 && { tasks }) };
    const choices = { ...mixedBits(bench), ...keyChoiceOf(bench) };
    run.writeResults({
      version: 1,
      bits: labelOf(bench),
      ...withTasks,
      ...choices,
      seconds,
      peakBytes: peak.end(),
    });
    return { run: run.dir, ...results, tasks, device: bench.runtime.device };
  });
}

function takenOver(leftBy: string): RunEvent {
  return timed({
    type: 'warning',
    message: `This run was at work in ${leftBy}. It goes on here.`,
    hint: 'A process that still works on it stops at its next step.',
  });
}

/** Tells what stands fixed at run time, and how it was made. */
function* statements(bench: Workbench): Generator<RunEvent> {
  for (const detail of statementsOf(bench))
    yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail });
}
