import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { COMMANDS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import type { Run } from '../../runs/index.ts';
import { chooseExperiment } from '../experiments/choose.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import { runDirOf } from '../runs/choose.ts';
import type { Job, JobKind, JobRequest } from '../services.ts';
import { experimentName, jobTitle } from '../words.ts';

/** Options of a command that starts a job. */
export interface MeasureOptions {
  readonly runDir?: string;
  readonly withoutRotations?: boolean;
}

/** The end of a job, for whoever ran the command. */
type Outcome = Pick<Job, 'state' | 'runDir' | 'message'>;

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
  kind: JobKind,
  argument: unknown,
  options: MeasureOptions,
): Promise<Outcome | null> {
  const experiment = await chooseExperiment(parts.experiments, argument);
  if (experiment === null || !(await isReady(experiment, kind, options))) return null;
  if (kind !== 'optimize' && options.runDir === undefined && !options.withoutRotations)
    if (await lacksRotation(parts, experiment)) return offerOptimize(parts, experiment);
  return submit(parts, { kind, experiment, ...options });
}

/** Puts a job into the queue, and shows its work where none runs before it. */
export async function submit(parts: Parts, request: JobRequest): Promise<Outcome> {
  parts.experiments.activate(request.experiment);
  const waits = parts.jobs.running !== null;
  const ended = parts.jobs.submit(request);
  if (waits)
    vscode.window.setStatusBarMessage(
      vscode.l10n.t(
        '{0} {1}: waits for its turn',
        jobTitle(request.kind),
        experimentName(request.experiment),
      ),
      5000,
    );
  else if (request.kind === 'optimize') void showWork(request);
  const { state, runDir, message } = await ended;
  return { state, runDir, message };
}

/** Beside the file; the person keeps the keyboard where it is. A matrix shows its table, all else its curve. */
async function showWork({ experiment, runDir }: JobRequest): Promise<void> {
  if (runDir === undefined && (await hasMatrix(experiment)))
    await vscode.commands.executeCommand(PANELS.results.command, vscode.Uri.file(experiment));
  else await vscode.commands.executeCommand(PANELS.training.command);
}

async function hasMatrix(file: string): Promise<boolean> {
  const { parseExperiment } = await loadConfig();
  const { experiment } = parseExperiment(await experimentText(file), file);
  return experiment?.matrix !== undefined;
}

/** Saves the file and leads to its faults, if it has any: nothing is started that cannot run. */
async function isReady(file: string, kind: JobKind, { withoutRotations }: MeasureOptions): Promise<boolean> {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.fsPath === file);
  if (open?.isDirty && !(await open.save())) return false;
  const { checkExperiment, formatFault, withHint } = await loadConfig();
  const purpose = withoutRotations ? 'evaluate' : kind;
  let fault: string | undefined;
  try {
    const { faults } = await checkExperiment(await experimentText(file), file, purpose);
    const first = faults.find(({ severity }) => severity === 'error');
    fault = first && withHint(formatFault(vscode.workspace.asRelativePath(file), first), first.hint);
    if (first === undefined) return true;
    const position = new vscode.Position(first.range.line - 1, first.range.column - 1);
    await vscode.window.showTextDocument(vscode.Uri.file(file), {
      selection: new vscode.Range(position, position),
    });
  } catch (error) {
    fault = messageOf(error);
  }
  const show = vscode.l10n.t('Show Problems');
  const chosen = await vscode.window.showErrorMessage(fault ?? '', show);
  if (chosen === show) await vscode.commands.executeCommand('workbench.actions.view.problems');
  return false;
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

async function resume(parts: Parts, argument: unknown): Promise<Outcome | null> {
  const runDir = runDirOf(argument) ?? (await newestResumable(parts));
  if (runDir === null) return null;
  const { openRun } = await loadRuns();
  const run = await openRun(runDir);
  const { id, status } = run.record;
  if (status === 'finished' || parts.jobs.running?.runDir === runDir) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t('The run {0} is {1}: there is nothing to resume.', id, status),
    );
    return null;
  }
  const takeOver = status === 'running';
  if (takeOver && !(await mayTakeOver(run))) return null;
  const request = { kind: 'optimize' as const, experiment: run.experimentFile, takeOver };
  // A cell is a part of filling its table: that goes on, at the step where the cell stopped.
  const fillsTable = run.record.cell !== null && (await hasMatrix(run.experimentFile).catch(() => false));
  return submit(parts, fillsTable ? request : { ...request, runDir });
}

/** A run of another window, of a terminal or of another machine: the person may know that its process is dead. */
async function mayTakeOver({ record }: Run): Promise<boolean> {
  const { pid, host } = record.process;
  const action = vscode.l10n.t('Take Over');
  const chosen = await vscode.window.showWarningMessage(
    vscode.l10n.t('The run {0} is at work in process {1} on {2}. Take it over?', record.id, pid, host),
    { modal: true, detail: vscode.l10n.t('A process that still works on it stops at its next step.') },
    action,
  );
  return chosen === action;
}

async function newestResumable({ runs }: Parts): Promise<string | null> {
  const { isResumable, mayBeLeft } = await loadRuns();
  const run = runs.list().find(isResumable) ?? runs.list().find(mayBeLeft);
  if (run === undefined)
    void vscode.window.showInformationMessage(
      vscode.l10n.t('No stopped run has a checkpoint to go on from.'),
    );
  return run?.dir ?? null;
}

/** A job by its id, that of a run, or the one that runs. */
function jobToStop({ jobs }: Parts, argument: unknown): Job | null {
  const runDir = runDirOf(argument);
  const live = jobs.all.filter(({ state }) => state === 'running' || state === 'waiting');
  return (
    live.find(({ id, runDir: dir }) => id === argument || (dir !== null && dir === runDir)) ?? jobs.running
  );
}
