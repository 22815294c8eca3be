/** Runs that were stopped, and what they go on from. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { decidingDifferences, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { isResumable, listRuns, mayBeLeft, openRun, type Run } from '../../runs/index.ts';
import { checkpointStep } from './learning-checkpoint.ts';

/**
 * The run of an experiment to go on with.
 * @param named its folder or its name in the experiment's runs folder; null for the newest that fits.
 * @param takeOver the newest may be one that nobody can tell whether it is at work.
 * @throws UserError `runs/not-resumable`, `runs/experiment-changed` with every setting that differs.
 */
export async function runToResume(
  experiment: ResolvedExperiment,
  named: string | null,
  takeOver = false,
): Promise<Run> {
  if (named === null) return newestResumable(experiment, takeOver);
  const inFolder = join(experiment.runs, named);
  const run = await openRun(existsSync(inFolder) ? inFolder : named);
  // Whether a running one can be had is found out by claiming it, which says what to do.
  const isRunning = run.record.status === 'running';
  if (!isRunning && !isResumable(run)) {
    const lacks = existsSync(run.path('checkpoint')) ? '' : ' and has no checkpoint';
    throw new UserError(
      'runs/not-resumable',
      `The run ${run.record.id} is ${run.record.status}${lacks}: there is nothing to go on with.`,
      'Start a new one: leave --resume out.',
    );
  }
  const changed = await changedSince(run, experiment);
  if (changed) throw changed;
  return run;
}

/** The newest stopped run of this file whose settings are those of the file. */
async function newestResumable(experiment: ResolvedExperiment, takeOver: boolean): Promise<Run> {
  const { runs } = await listRuns(experiment.runs);
  let reason: UserError | null = null;
  for (const run of runs) {
    if (run.experimentFile !== experiment.source.file) continue;
    if (!isResumable(run) && !(takeOver && mayBeLeft(run))) {
      if (run.record.status === 'running') reason ??= atWork(run);
      continue;
    }
    const obstacle = await changedSince(run, experiment).catch(userErrorOnly);
    if (!obstacle) return run;
    reason ??= obstacle;
  }
  throw (
    reason ??
    new UserError(
      'runs/not-resumable',
      'No stopped run of this experiment has a checkpoint to go on from.',
      'Start a new one: leave --resume out. `spinquant runs` lists all.',
    )
  );
}

function atWork({ record }: Run): UserError {
  return new UserError(
    'runs/busy',
    `The run ${record.id} of this experiment is at work in process ${record.process.pid} on ${record.process.host}.`,
    `Wait for it. If that process is gone, take the run over: --resume ${record.id} --take-over`,
  );
}

/** A run that cannot be read does not stand in the way of the others. */
function userErrorOnly(error: unknown): UserError {
  if (error instanceof UserError) return error;
  throw error;
}

/** The error that tells in what an experiment has changed since a run began; null where in nothing that decides. */
async function changedSince(run: Run, experiment: ResolvedExperiment): Promise<UserError | null> {
  const differences = decidingDifferences(await run.readExperiment(), experiment, 'same');
  if (differences.length === 0) return null;
  const list = differences.map(
    ({ path, a, b }) => `${path} was ${JSON.stringify(a)}, is ${JSON.stringify(b)}`,
  );
  return new UserError(
    'runs/experiment-changed',
    `The experiment has changed since the run ${run.record.id} began: ${list.join('; ')}.`,
    'Restore these settings to go on with it, or leave --resume out to start a new run.',
  );
}

/** A stopped run that this process goes on with. */
export interface ClaimedRun {
  readonly run: Run;
  /** As it was when the run began. */
  readonly experiment: ResolvedExperiment;
  /** The step that it goes on from. */
  readonly fromStep: number;
  /** In words, the process that was taken for gone without proof; null where there was none. */
  readonly leftBy: string | null;
}

/**
 * Claims a run, cuts its log back to what it goes on from, and marks it running. A run that cannot be claimed, or whose
 * files cannot be gone on from, stays as it is.
 * @param takeOver takes it from a process that is, or may be, at work on it.
 * @throws UserError `runs/finished`, `runs/busy`, `runs/damaged`.
 */
export async function claimRun(dir: string, takeOver: boolean): Promise<ClaimedRun> {
  const run = await openRun(dir);
  const leftBy = await run.claim(takeOver);
  try {
    const experiment = await run.readExperiment();
    const kept = checkpointStep(run.path('checkpoint'));
    const hasLearned = existsSync(run.path('rotations')) && run.truncateEventsAfterPhase('fuse');
    if (!hasLearned) run.truncateEventsAfterStep(kept);
    const steps = (await run.readEvents()).map((event) => (event.type === 'step' ? event.step : 0));
    run.resume();
    return { run, experiment, leftBy, fromStep: steps.reduce((most, step) => Math.max(most, step), kept) };
  } catch (error) {
    run.close();
    throw error;
  }
}
