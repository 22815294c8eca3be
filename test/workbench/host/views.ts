/** The views of runs, made of the same classes and told of the same events as those in the window. */
import * as vscode from 'vscode';
import { ExperimentLenses } from '../../../src/extension/experiments/lenses.ts';
import { TrainingPanel } from '../../../src/extension/panels/training/panel.ts';
import type { Parts } from '../../../src/extension/parts.ts';
import { RunSummaries } from '../../../src/extension/runs/summaries.ts';
import { RunsTree } from '../../../src/extension/runs/tree.ts';

/** Each view says this of one run: `running`, or how it ended. */
export interface Seen {
  readonly queue: string;
  readonly tree: string;
  readonly lenses: string;
  readonly panel: string;
}

export class Views implements vscode.Disposable {
  /** Views that have said that they changed, since the last look. */
  readonly told = new Set<'tree' | 'lenses'>();
  readonly #parts: Parts;
  readonly #tree: RunsTree;
  readonly #lenses: ExperimentLenses;
  readonly #panel: TrainingPanel;
  readonly #disposables: vscode.Disposable;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { runs, jobs, log } = parts;
    const summaries = new RunSummaries(runs, log);
    this.#tree = new RunsTree(runs, jobs, summaries);
    this.#lenses = new ExperimentLenses(parts, summaries);
    this.#panel = new TrainingPanel(parts);
    this.#disposables = vscode.Disposable.from(
      summaries,
      this.#tree,
      this.#lenses,
      this.#panel,
      this.#tree.onDidChangeTreeData(() => this.told.add('tree')),
      this.#lenses.onDidChangeCodeLenses(() => this.told.add('lenses')),
    );
  }

  /** @returns null when the queue went on while the views were asked. */
  async look(document: vscode.TextDocument, runDir: string): Promise<Seen | null> {
    const before = this.#queue(runDir);
    const element = this.#tree.getChildren().find((child) => child.runDir === runDir)!;
    this.#panel.follow(runDir);
    const [item, lenses, state] = await Promise.all([
      this.#tree.getTreeItem(element),
      this.#lenses.provideCodeLenses(document),
      this.#panel.state(),
    ]);
    const titles = lenses.map(({ command }) => command?.title ?? '').join('\n');
    const seen = {
      queue: before,
      tree: /^run (\w+)/.exec(item.contextValue ?? '')?.[1] ?? '',
      lenses: titles.includes('Cancel') ? 'running' : titles.includes('Resume') ? 'interrupted' : titles,
      panel: state.run?.status ?? '',
    };
    return this.#queue(runDir) === before ? seen : null;
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #queue(runDir: string): string {
    return this.#parts.jobs.all.findLast((job) => job.runDir === runDir)?.state ?? '';
  }
}
