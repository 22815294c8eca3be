import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import type { CellCount } from '../../runs/index.ts';
import { loadRuns } from '../lazy.ts';
import type { Job, Services } from '../services.ts';
import { experimentName } from '../words.ts';

/** One notification at the end of a job, with the one thing to do next. What the person stopped needs none. */
export function notifyEnds({ jobs, tables }: Pick<Services, 'jobs' | 'tables'>): vscode.Disposable {
  return jobs.onDidChange((job) => {
    switch (job.state) {
      case 'finished':
        void notifyFinished(job, tables);
        return;
      case 'failed':
        void notifyFailed(job);
        return;
      case 'interrupted':
        void notifyInterrupted(job);
        return;
      case 'waiting':
      case 'running':
      case 'paused':
      case 'cancelled':
        return;
    }
  });
}

async function notifyFinished(job: Job, tables: Services['tables']): Promise<void> {
  const name = experimentName(job.experiment);
  if (job.kind === 'inspect' || job.kind === 'attribute') {
    await offer(
      vscode.window.showInformationMessage,
      job.kind === 'inspect'
        ? vscode.l10n.t('{0}: activations measured.', name)
        : vscode.l10n.t('{0}: the loss is attributed.', name),
      vscode.l10n.t('Show Layers'),
      () => vscode.commands.executeCommand(PANELS.layers.command, job.runDir),
    );
    return;
  }
  if (job.kind === 'optimize' && (await isCell(job.runDir))) {
    await offer(
      vscode.window.showInformationMessage,
      tableText(name, await tables.of(job.experiment)),
      vscode.l10n.t('Show Table'),
      () => vscode.commands.executeCommand(PANELS.results.command, vscode.Uri.file(job.experiment)),
    );
    return;
  }
  const result = job.runDir === null ? '' : await resultText(job.runDir);
  const text =
    job.kind === 'optimize'
      ? vscode.l10n.t('{0}: rotation learned. {1}', name, result)
      : vscode.l10n.t('{0}: evaluated. {1}', name, result);
  await offer(vscode.window.showInformationMessage, text.trim(), vscode.l10n.t('Show Results'), () =>
    vscode.commands.executeCommand(PANELS.results.command, [job.runDir]),
  );
}

/** Cells may have failed, or be at work elsewhere: the table has their reasons. */
function tableText(name: string, cells: CellCount | null): string {
  return cells === null || cells.done === cells.total
    ? vscode.l10n.t('{0}: the table is filled.', name)
    : vscode.l10n.t('{0}: {1} of {2} cells of the table are done.', name, cells.done, cells.total);
}

/** Of a matrix the run of a cell stands for all. */
async function isCell(runDir: string | null): Promise<boolean> {
  if (runDir === null) return false;
  try {
    return tableCell((await (await loadRuns()).openRun(runDir)).record) !== null;
  } catch {
    return false; // What cannot be read is told where it is looked at.
  }
}

/** `wikitext2 12.31 (full precision 5.67), W4A4KV4`. */
async function resultText(runDir: string): Promise<string> {
  try {
    const results = await (await (await loadRuns()).openRun(runDir)).readResults();
    const texts = results.perplexity.map(({ name, quantized, fullPrecision }) =>
      vscode.l10n.t(
        '{0} {1} (full precision {2})',
        name,
        formatPerplexity(quantized),
        formatPerplexity(fullPrecision),
      ),
    );
    return [...texts, results.bits].join(', ');
  } catch {
    return ''; // Without evaluation texts there are no results; the message is complete without.
  }
}

async function notifyFailed(job: Job): Promise<void> {
  // A message with a place in the file is a diagnostic there: lead to it.
  const fileFault = job.message?.includes(`${experimentName(job.experiment)}.spinquant.json`) ?? false;
  const text = firstLines(job.message);
  if (fileFault)
    await offer(vscode.window.showErrorMessage, text, vscode.l10n.t('Open Experiment'), () =>
      openWithProblems(job.experiment),
    );
  else
    await offer(vscode.window.showErrorMessage, text, vscode.l10n.t('Show Log'), () =>
      vscode.commands.executeCommand(COMMANDS.showLog),
    );
}

async function openWithProblems(file: string): Promise<void> {
  await vscode.window.showTextDocument(vscode.Uri.file(file));
  await vscode.commands.executeCommand('workbench.actions.view.problems');
}

async function notifyInterrupted(job: Job): Promise<void> {
  const name = experimentName(job.experiment);
  const how = firstLines(job.message, 1);
  if (job.kind === 'optimize' && job.runDir !== null)
    await offer(
      vscode.window.showErrorMessage,
      vscode.l10n.t('{0}: {1} Its steps are kept.', name, how),
      vscode.l10n.t('Resume'),
      () => vscode.commands.executeCommand(COMMANDS.resume, job.runDir),
    );
  else
    await offer(
      vscode.window.showErrorMessage,
      vscode.l10n.t('{0}: {1}', name, how),
      vscode.l10n.t('Show Log'),
      () => vscode.commands.executeCommand(COMMANDS.showLog),
    );
}

type Show = (message: string, ...actions: string[]) => Thenable<string | undefined>;

async function offer(show: Show, text: string, action: string, act: () => unknown): Promise<void> {
  if ((await show(text, action)) === action) await act();
}

/** A toast is short: the rest stands in the log and in the file. */
function firstLines(message: string | null, count = 3): string {
  const lines = (message ?? '').split('\n');
  return lines.slice(0, count).join(' ').trim() + (lines.length > count && count > 1 ? ' …' : '');
}
