/** Runs that were stopped, and what they go on from. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { decidingDifferences, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { isResumable, listRuns, openRun, type Run } from '../../runs/index.ts';
import { checkpointStep } from './learning-checkpoint.ts';

/**
 * The run of an experiment to go on with.
 * @param named its folder or its name in the experiment's runs folder; null for the newest that fits.
 * @throws UserError `runs/not-resumable`, `runs/experiment-changed` with every setting that differs.
 */
export async function runToResume(experiment: ResolvedExperiment, named: string | null): Promise<Run> {
  if (named === null) return newestResumable(experiment);
  const inFolder = join(experiment.runs, named);
  const run = await openRun(existsSync(inFolder) ? inFolder : named);
  if (!isResumable(run)) {
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
async function newestResumable(experiment: ResolvedExperiment): Promise<Run> {
  const { runs } = await listRuns(experiment.runs);
  let reason: UserError | null = null;
  for (const run of runs) {
    if (run.experimentFile !== experiment.source.file || !isResumable(run)) continue;
    const changed = await changedSince(run, experiment);
    if (!changed) return run;
    reason ??= changed;
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

/** The run to resume, its log cut back to what it goes on from. @throws UserError `runs/finished`, `runs/busy`. */
export async function claimRun(dir: string): Promise<Run> {
  const run = await openRun(dir);
  if (run.record.status === 'finished') {
    throw new UserError('runs/finished', `The run ${run.record.id} is finished.`, 'Start a new run.');
  }
  run.resume();
  const hasLearned = existsSync(run.path('rotations')) && run.truncateEventsAfterPhase('fuse');
  if (!hasLearned) run.truncateEventsAfterStep(checkpointStep(run.path('checkpoint')));
  return run;
}

/** The last step whose event is still in the log of a run that was claimed; 0 for a new run. */
export async function stepToResumeFrom(run: Run): Promise<number> {
  const steps = (await run.readEvents()).map((event) => (event.type === 'step' ? event.step : 0));
  const kept = checkpointStep(run.path('checkpoint'));
  return steps.reduce((most, step) => Math.max(most, step), kept);
}
