/** The tools of language models: start, look, read results, cancel, export. All but looking ask the person first. */
import { isAbsolute, resolve } from 'node:path';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { TOOLS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { readied } from '../jobs/ready.ts';
import { loadConfig } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import type { Job } from '../services.ts';
import { experimentName, jobTitle } from '../words.ts';
import { confirmExport, type ExportInput, exportByTool } from './export-tool.ts';

export interface StartInput {
  readonly experiment: string;
  readonly action: 'optimize' | 'evaluate' | 'inspect';
  readonly withoutRotations?: boolean;
}

export function registerTools(parts: Parts, summaries: RunSummaries): vscode.Disposable {
  const tools = languageModelTools(parts, summaries);
  return vscode.Disposable.from(
    vscode.lm.registerTool(TOOLS.start, tools.start),
    vscode.lm.registerTool(TOOLS.status, tools.status),
    vscode.lm.registerTool(TOOLS.results, tools.results),
    vscode.lm.registerTool(TOOLS.cancel, tools.cancel),
    vscode.lm.registerTool(TOOLS.export, tools.export),
  );
}

export interface Tools {
  readonly start: vscode.LanguageModelTool<StartInput>;
  readonly status: vscode.LanguageModelTool<object>;
  readonly results: vscode.LanguageModelTool<{ readonly experiment?: string }>;
  readonly cancel: vscode.LanguageModelTool<{ readonly job?: string }>;
  readonly export: vscode.LanguageModelTool<ExportInput>;
}

export function languageModelTools(parts: Parts, summaries: RunSummaries): Tools {
  return {
    start: {
      prepareInvocation: ({ input }) => confirmStart(input),
      invoke: ({ input }) => answer(() => start(parts, input)),
    },
    status: {
      invoke: () =>
        answer(async () => ({ jobs: parts.jobs.all.slice(-10).map((job) => jobFacts(parts, job)) })),
    },
    results: {
      invoke: ({ input }) => answer(() => results(summaries, input.experiment)),
    },
    cancel: {
      prepareInvocation: ({ input }) => confirmCancel(parts, input.job),
      invoke: ({ input }) => answer(() => cancel(parts, input.job)),
    },
    export: {
      prepareInvocation: ({ input }) => confirmExport(input),
      invoke: ({ input }, token) => answer(() => exportByTool(parts, input, fileIn, token)),
    },
  };
}

/** Names what would be stopped: the person decides about that, not about a number. */
function confirmCancel(parts: Parts, id: string | undefined): vscode.PreparedToolInvocation {
  const job = jobToCancel(parts, id);
  const name = job && `${jobTitle(job.kind)} ${experimentName(job.experiment)}`;
  return {
    invocationMessage: vscode.l10n.t('Cancelling the run'),
    confirmationMessages: {
      title: vscode.l10n.t('Cancel the run'),
      message: name
        ? vscode.l10n.t('{0}: it stops; its finished steps are kept and it can be resumed.', name)
        : vscode.l10n.t('The run stops; its finished steps are kept and it can be resumed.'),
    },
  };
}

function confirmStart({ experiment, action }: StartInput): vscode.PreparedToolInvocation {
  return {
    invocationMessage: vscode.l10n.t('Starting {0} of {1}', action, experiment),
    confirmationMessages: {
      title: vscode.l10n.t('Start an experiment'),
      message: vscode.l10n.t(
        'Run {0} on {1}? This computes on this machine for minutes to hours and writes a run folder.',
        action,
        experiment,
      ),
    },
  };
}

/** Starts and returns: the work takes far longer than a turn of a conversation. */
async function start(parts: Parts, input: StartInput): Promise<object> {
  const file = fileIn(input.experiment);
  const { formatFault } = await loadConfig();
  const { errors, contents } = await readied(file, input.action);
  if (errors.length > 0)
    return {
      error: 'The experiment has faults: mend them in the file, then start again.',
      faults: errors.map((fault) => `${formatFault(file, fault)} ${fault.hint}`),
    };
  const { action: kind, withoutRotations = false } = input;
  const request = { kind, experiment: file, withoutRotations, contents };
  const isNew = parts.jobs.openJob(request) === null;
  void parts.jobs.submit(request);
  if (kind === 'optimize') void vscode.commands.executeCommand(PANELS.training.command);
  const job = parts.jobs.openJob(request)!;
  const note = isNew ? {} : { note: 'It was asked for already: nothing new was started.' };
  return { ...jobFacts(parts, job), ...note, next: `Call ${TOOLS.status} to follow it.` };
}

function fileIn(path: string): string {
  if (isAbsolute(path)) return path;
  const root = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  if (root === undefined) throw new Error('No folder is open: give an absolute path.');
  return resolve(root, path);
}

function jobFacts({ jobs }: Parts, job: Job): object {
  const { id, kind, experiment, state, runDir, message } = job;
  const { phase, step, of, rounding, evaluation, secondsLeft } = jobs.progress(id);
  return {
    job: id,
    action: kind,
    experiment,
    state,
    run: runDir,
    message,
    ...(state === 'running' && {
      progress: {
        phase,
        step,
        of,
        ...(rounding && { layersDone: rounding.layersDone, layers: rounding.layers }),
        ...(evaluation && { windowsDone: evaluation.windowsDone, windows: evaluation.windows }),
        secondsLeft,
      },
    }),
  };
}

async function results(summaries: RunSummaries, experiment: string | undefined): Promise<object> {
  const chosen =
    experiment === undefined ? await summaries.all() : await summaries.ofExperiment(fileIn(experiment));
  return {
    unit: 'perplexity, lower is better',
    runs: chosen.slice(0, 50).map(({ run, results: found, measuredAt, experiment: settings }) => ({
      run: run.record.id,
      experiment: run.experimentFile,
      status: run.record.status,
      setting: run.record.bits,
      rotation: settings && {
        r1: settings.rotation.r1,
        r2: settings.rotation.r2,
        r3: settings.rotation.r3,
        r4: settings.rotation.r4,
        acrossHeads: settings.rotation.acrossHeads,
      },
      measuredAt: found === null ? null : measuredAt.toISOString(),
      loss: found?.loss ?? null,
      perplexity: found?.perplexity ?? [],
    })),
  };
}

async function cancel(parts: Parts, id: string | undefined): Promise<object> {
  const job = jobToCancel(parts, id);
  if (job === null) return { error: id === undefined ? 'Nothing is running.' : `There is no job ${id}.` };
  await parts.jobs.cancel(job.id);
  return jobFacts(parts, job);
}

/** The job of that name, or the one that runs. */
function jobToCancel({ jobs }: Parts, id: string | undefined): Job | null {
  return id === undefined ? jobs.running : (jobs.all.find((job) => job.id === id) ?? null);
}

/** A model reads errors too: they say what to do, in words. */
async function answer(work: () => Promise<object>): Promise<vscode.LanguageModelToolResult> {
  let facts: object;
  try {
    facts = await work();
  } catch (error) {
    facts = { error: messageOf(error) };
  }
  return new vscode.LanguageModelToolResult([
    new vscode.LanguageModelTextPart(JSON.stringify(facts, null, 2)),
  ]);
}
