import * as vscode from 'vscode';
import { COMMANDS, VIEWS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { Disposables } from '../disposables.ts';
import type { Job, Jobs, Services } from '../services.ts';
import { throttle } from '../throttle.ts';
import { experimentName, jobTitle, progressText } from '../words.ts';

const INTERVAL_MS = 250;

type StatusServices = Pick<Services, 'jobs' | 'runs' | 'tables'>;

/** One status bar item while something runs, and the bar of the views above its runs. */
export function showJobStatus({ jobs, runs, tables }: StatusServices): vscode.Disposable {
  const disposables = new Disposables();
  const item = disposables.add(
    vscode.window.createStatusBarItem('spinquant.status', vscode.StatusBarAlignment.Left, 10),
  );
  item.name = vscode.l10n.t('SpinQuant: what runs');
  let shown: Job | null = null;
  const update = disposables.add(
    throttle(async () => {
      const job = jobs.running;
      if (job === null) {
        showHeld(item, jobs);
        return;
      }
      const cells = job.kind === 'optimize' ? await tables.of(job.experiment) : null;
      // The end of a job is told of again.
      if (jobs.running !== job) return;
      const waiting = jobs.all.filter(({ state }) => state === 'waiting').length;
      render(item, job, progressText(jobs.progress(job.id), cells), waiting);
    }, INTERVAL_MS),
  );
  disposables.add(jobs.onEvent(update));
  disposables.add(runs.onDidChange(update));
  disposables.add(
    jobs.onDidChange(() => {
      const job = jobs.running;
      if (job !== shown) {
        shown = job;
        void setRunningContext(job !== null);
        if (job !== null) showViewProgress(jobs, job);
      }
      update.now();
    }),
  );
  return disposables;
}

function render(item: vscode.StatusBarItem, job: Job, progress: string, waiting: number): void {
  const name = experimentName(job.experiment);
  item.text = `$(sync~spin) ${name}: ${progress}`;
  const more = waiting === 0 ? '' : `\n${vscode.l10n.t('{0} waiting', waiting)}`;
  item.tooltip = `${jobTitle(job.kind)}: ${name}\n${progress}${more}`;
  item.accessibilityInformation = { label: `${jobTitle(job.kind)} ${name}, ${progress}` };
  item.command = PANELS.training.command;
  item.show();
}

/** After a pause nothing begins: what waits is said, and goes on by a click. */
function showHeld(item: vscode.StatusBarItem, { all, held }: Jobs): void {
  const waiting = all.filter(({ state }) => state === 'waiting').length;
  if (held === null || waiting === 0) {
    item.hide();
    return;
  }
  const text = vscode.l10n.t('{0} paused, {1} waiting', experimentName(held.experiment), waiting);
  item.text = `$(debug-pause) ${text}`;
  item.tooltip = vscode.l10n.t('Resume what was paused; those that wait follow it.');
  item.accessibilityInformation = { label: text };
  item.command = COMMANDS.resume;
  item.show();
}

/** For `when` clauses of commands that need something to stop. */
function setRunningContext(running: boolean): Thenable<unknown> {
  return vscode.commands.executeCommand('setContext', 'spinquant.running', running);
}

/** The thin bar of the runs view, until the job ends. */
function showViewProgress(jobs: Jobs, job: Job): void {
  void vscode.window.withProgress(
    { location: { viewId: VIEWS.runs } },
    () =>
      new Promise<void>((resolve) => {
        const listener = jobs.onDidChange((changed) => {
          if (changed.id !== job.id || changed.state === 'running') return;
          listener.dispose();
          resolve();
        });
      }),
  );
}
