import * as vscode from 'vscode';
import { PANELS } from '../../protocol/panels/registry.ts';
import { escapeMarkdown } from '../../protocol/printable.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import type { RotationsOf, Run, RunStatus } from '../../runs/index.ts';
import { loadRuns } from '../lazy.ts';
import type { Job, Jobs, RunStore } from '../services.ts';
import { throttle } from '../throttle.ts';
import { experimentName, formatAge, jobTitle, statusText } from '../words.ts';
import { readAnnotation } from './annotations.ts';
import { onShownChange } from './changes.ts';
import { placeOf, shownName } from './choose.ts';
import { isPlain, type RunSummaries, type RunSummary } from './summaries.ts';

/** A run, or a job that waits and has no folder yet. Commands take it as it is. */
export interface RunElement {
  readonly runDir: string | null;
  readonly experiment: string;
  readonly job: Job | null;
}

/** Ages are told in minutes: they are renewed as often. */
const AGE_INTERVAL_MS = 60_000;

/** The runs view: what waits, then starred runs, then all others, newest first. */
export class RunsTree implements vscode.TreeDataProvider<RunElement>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #runs: RunStore;
  readonly #jobs: Jobs;
  readonly #summaries: RunSummaries;
  readonly #disposables: vscode.Disposable;

  constructor(runs: RunStore, jobs: Jobs, summaries: RunSummaries) {
    this.#runs = runs;
    this.#jobs = jobs;
    this.#summaries = summaries;
    const refresh = throttle(() => this.#changed.fire(), 300);
    const ages = setInterval(refresh, AGE_INTERVAL_MS);
    this.#disposables = vscode.Disposable.from(
      this.#changed,
      refresh,
      onShownChange(runs, refresh),
      jobs.onDidChange(refresh.now),
      { dispose: () => clearInterval(ages) },
    );
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  getChildren(element?: RunElement): RunElement[] {
    if (element !== undefined) return [];
    const waiting = this.#jobs.all.filter(({ state }) => state === 'waiting');
    const starred = (dir: string) => (this.#runs.annotation(dir).starred ? 0 : 1);
    const runs = this.#runs
      .list()
      .map(({ dir, experimentFile }) => ({ runDir: dir, experiment: experimentFile, job: null }))
      .sort((a, b) => starred(a.runDir) - starred(b.runDir));
    return [...waiting.map((job) => ({ runDir: job.runDir, experiment: job.experiment, job })), ...runs];
  }

  async getTreeItem({ runDir, experiment, job }: RunElement): Promise<vscode.TreeItem> {
    if (job !== null) return waitingItem(job, this.#jobs.held !== null);
    const run = runDir === null ? undefined : this.#runs.get(runDir);
    if (run === undefined) return new vscode.TreeItem(experimentName(experiment));
    return this.#runItem(await this.#summaries.of(run));
  }

  /** A side bar is narrow: what stands first is short. */
  #label(run: Run, numbers: string): string {
    const own = this.#runs
      .ofExperiment(run.experimentFile)
      .filter(({ record }) => tableCell(record) === null);
    const number = own.length - own.findIndex(({ dir }) => dir === run.dir);
    return labelOf(run, givenName(run), number, numbers);
  }

  async #runItem(summary: RunSummary): Promise<vscode.TreeItem> {
    const { run, results } = summary;
    const { record, dir } = run;
    const { starred, label } = this.#runs.annotation(dir);
    const { isResumable, mayBeLeft, variantOfRow } = await loadRuns();
    const { name } = shownName(run, this.#runs);
    const cell = tableCell(record);
    const isFull = cell !== null && variantOfRow(cell.method) === 'full-precision';
    const numbers = (results?.perplexity ?? [])
      .map(({ fullPrecision, quantized }) => formatPerplexity(isFull ? fullPrecision : quantized))
      .join(', ');
    const item = new vscode.TreeItem(this.#label(run, numbers));
    item.id = dir;
    item.iconPath = statusIcon(record.status, starred);
    // The name of a cell says its method.
    const plain = cell === null && isPlain(summary) ? vscode.l10n.t('no rotation') : null;
    const facts = cell === null ? [numbers, label, plain, placeOf(run)] : [label, name];
    const state = record.status === 'finished' ? null : statusText(record.status);
    item.description = [state, ...facts, formatAge(summary.measuredAt)]
      .filter((part) => part !== null && part !== '')
      .join(' · ');
    item.tooltip = tooltip(summary, name, label);
    const resumable = isResumable(run) || mayBeLeft(run) ? 'resumable' : '';
    item.contextValue = `run ${record.status} ${starred ? 'starred' : 'unstarred'} ${resumable}`.trim();
    // The table has a row for what was evaluated only.
    const isMeasured = (results?.perplexity.length ?? 0) > 0;
    item.command = {
      command: isMeasured ? PANELS.results.command : PANELS.training.command,
      title: vscode.l10n.t('Show'),
      arguments: [isMeasured ? [dir] : dir],
    };
    item.accessibilityInformation = {
      label: `${name}, ${statusText(record.status)}, ${item.description}`,
    };
    return item;
  }
}

/** The person's own; none where the notes cannot be read, which the store has said. */
function givenName({ dir }: Run): string | null {
  try {
    return readAnnotation(dir).name;
  } catch {
    return null;
  }
}

/** Of a run with a name that a person gave, that; else it is counted: `w3 #2`. Of a cell its bits and its number. */
function labelOf(run: Run, given: string | null, number: number, numbers: string): string {
  const cell = tableCell(run.record);
  if (given !== null) return given;
  if (cell !== null) return numbers === '' ? cell.bits : `${cell.bits}  ${numbers}`;
  return `${experimentName(run.experimentFile)} #${number}`;
}

/** @param held whether nothing begins, since a job was paused. */
function waitingItem(job: Job, held: boolean): vscode.TreeItem {
  const item = new vscode.TreeItem(experimentName(job.experiment));
  item.id = job.id;
  item.iconPath = new vscode.ThemeIcon('watch');
  item.description = held
    ? vscode.l10n.t('{0}: waits, the queue is paused', jobTitle(job.kind))
    : vscode.l10n.t('{0}: waits for its turn', jobTitle(job.kind));
  item.contextValue = held ? 'waiting held' : 'waiting';
  return item;
}

/** The icon of each state, and its colour. */
const ICONS: Readonly<Record<RunStatus, readonly [icon: string, color?: string]>> = {
  running: ['sync~spin'],
  finished: ['pass', 'testing.iconPassed'],
  paused: ['debug-pause'],
  cancelled: ['circle-slash'],
  interrupted: ['debug-disconnect', 'list.warningForeground'],
  failed: ['error', 'list.errorForeground'],
};
const STAR = ['star-full', 'charts.yellow'] as const;

function statusIcon(status: RunStatus, starred: boolean): vscode.ThemeIcon {
  const [icon, color] = status === 'finished' && starred ? STAR : ICONS[status];
  return new vscode.ThemeIcon(icon, color === undefined ? undefined : new vscode.ThemeColor(color));
}

function tooltip({ run, results }: RunSummary, name: string, label: string | null): vscode.MarkdownString {
  const { record } = run;
  const text = new vscode.MarkdownString();
  // A narrow view cuts the name off.
  text.appendText(`${name}\n\n`);
  text.appendMarkdown(
    `**${escapeMarkdown(record.id)}** · ${statusText(record.status)} · ${escapeMarkdown(record.bits)}\n\n`,
  );
  if (label !== null) text.appendText(`${label}\n\n`);
  if (record.error !== null) text.appendText(`${record.error.message} ${record.error.hint}\n\n`);
  if (results !== null && results.perplexity.length > 0) {
    text.appendMarkdown(
      `| ${vscode.l10n.t('text')} | ${vscode.l10n.t('full precision')} | ${escapeMarkdown(record.bits)} |\n|---|--:|--:|\n`,
    );
    for (const { name, fullPrecision, quantized } of results.perplexity)
      text.appendMarkdown(
        `| ${escapeMarkdown(name)} | ${formatPerplexity(fullPrecision)} | ${formatPerplexity(quantized)} |\n`,
      );
  }
  if (results?.loss) {
    const { first, last } = results.loss;
    text.appendMarkdown(
      `\n${vscode.l10n.t('Loss {0} → {1} in {2} steps', first.toFixed(4), last.toFixed(4), results.steps)}\n`,
    );
  }
  if (results?.rotationsOf) text.appendText(`\n${originText(results.rotationsOf)}\n`);
  if (record.provenance !== null) text.appendMarkdown(`\n`).appendText(record.provenance.runtime);
  return text;
}

/** The run that learned the rotations that another one measured. */
function originText({ run, seed }: RotationsOf): string {
  const { t } = vscode.l10n;
  if (run === null) return t('Rotations of a file');
  return seed === null ? t('Rotations of {0}', run) : t('Rotations of {0}, seed {1}', run, seed);
}
