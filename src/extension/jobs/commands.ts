import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import { chooseExperiment } from '../experiments/choose.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import { runDirOf } from '../runs/choose.ts';
import type { Job } from '../services.ts';
import { experimentName } from '../words.ts';
import { attribute } from './attribute.ts';
import { contentsOf } from './contents.ts';
import { isReady } from './ready.ts';
import { resume } from './resume.ts';
import { type Outcome, submit } from './submit.ts';

/** Kinds that {@link start} starts; an attribution asks for more. */
type MeasuredKind = 'optimize' | 'evaluate' | 'inspect';

/** Options of a command that starts a job. */
export interface MeasureOptions {
  readonly runDir?: string;
  readonly withoutRotations?: boolean;
}

export function registerJobCommands(parts: Parts): vscode.Disposable {
  const { jobs, log } = parts;
  const register = vscode.commands.registerCommand;
  return vscode.Disposable.from(
    register(COMMANDS.optimize, (argument: unknown) => start(parts, 'optimize', argument, {})),
    register(COMMANDS.evaluate, (argument: unknown, options: MeasureOptions = {}) =>
      start(parts, 'evaluate', argument, options),
    ),
    register(COMMANDS.inspect, (argument: unknown, options: MeasureOptions = {}) =>
      start(parts, 'inspect', argument, options),
    ),
    register(COMMANDS.attribute, (argument: unknown) => attribute(parts, argument)),
    register(COMMANDS.resume, (argument: unknown) => resume(parts, argument)),
    register(COMMANDS.cancel, async (argument: unknown) => {
      const job = jobToStop(parts, argument);
      if (job) await jobs.cancel(job.id);
    }),
    register(COMMANDS.pause, async (argument: unknown) => {
      const job = jobToStop(parts, argument);
      if (job) await jobs.pause(job.id);
    }),
    register(COMMANDS.showLog, () => log.show(true)),
  );
}

async function start(
  parts: Parts,
  kind: MeasuredKind,
  argument: unknown,
  options: MeasureOptions,
): Promise<Outcome | null> {
  const experiment = await chooseExperiment(parts.experiments, argument);
  if (experiment === null || !(await isReady(experiment, options.withoutRotations ? 'evaluate' : kind)))
    return null;
  if (kind !== 'optimize' && options.runDir === undefined && !options.withoutRotations)
    if (await lacksRotation(parts, experiment)) return offerOptimize(parts, experiment);
  return submit(parts, { kind, experiment, ...options, ...(await contentsOf(experiment)) });
}

/** True when an experiment uses rotations that no run has learned yet. */
async function lacksRotation({ runs }: Parts, file: string): Promise<boolean> {
  const { hasLearnedRotation, parseExperiment } = await loadConfig();
  const { experiment } = parseExperiment(await experimentText(file), file);
  if (experiment === null || !hasLearnedRotation(experiment.rotation)) return false;
  return !runs.ofExperiment(file).some((run) => existsSync(run.path('rotations')));
}

async function offerOptimize(parts: Parts, file: string): Promise<Outcome | null> {
  const optimize = vscode.l10n.t('Optimize Rotation');
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t('{0} uses learned rotations, and none have been learned yet.', experimentName(file)),
    optimize,
  );
  return chosen === optimize ? start(parts, 'optimize', file, {}) : null;
}

/** A job by its id, that of a run, or the one that runs. */
function jobToStop({ jobs }: Parts, argument: unknown): Job | null {
  const runDir = runDirOf(argument);
  const live = jobs.all.filter(({ state }) => state === 'running' || state === 'waiting');
  return (
    live.find(({ id, runDir: dir }) => id === argument || (dir !== null && dir === runDir)) ?? jobs.running
  );
}
