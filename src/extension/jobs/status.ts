import * as vscode from 'vscode';
import { VIEWS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { Disposables } from '../disposables.ts';
import type { Job, Jobs, Services } from '../services.ts';
import { throttle } from '../throttle.ts';
import { experimentName, jobTitle, progressText } from '../words.ts';

const INTERVAL_MS = 250;

type StatusServices = Pick<Services, 'jobs' | 'tables'>;

/** One status bar item while something runs, and the bar of the views above its runs. */
export function showJobStatus({ jobs, tables }: StatusServices): vscode.Disposable {
  const disposables = new Disposables();
  const item = disposables.add(
    vscode.window.createStatusBarItem('spinquant.status', vscode.StatusBarAlignment.Left, 10),
  );
  item.name = vscode.l10n.t('SpinQuant: what runs');
  item.command = PANELS.training.command;
  let shown: Job | null = null;
  const update = disposables.add(
    throttle(async () => {
      const job = jobs.running;
      const cells = job?.kind === 'optimize' ? await tables.of(job.experiment) : null;
      // The end of a job is told of again.
      if (jobs.running !== job) return;
      if (job === null) return item.hide();
      const waiting = jobs.all.filter(({ state }) => state === 'waiting').length;
      render(item, job, progressText(jobs.progress(job.id), cells), waiting);
    }, INTERVAL_MS),
  );
  disposables.add(jobs.onEvent(update));
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
