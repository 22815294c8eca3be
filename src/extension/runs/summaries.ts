import { existsSync, statSync } from 'node:fs';
import type * as vscode from 'vscode';
import type { ResolvedExperiment, RotationKind } from '../../config/index.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { ResultsFile, Run } from '../../runs/index.ts';
import type { RunStore } from '../services.ts';

/** The facts of a run that lenses and views show, read from its folder. */
export interface RunSummary {
  readonly run: Run;
  readonly results: ResultsFile | null;
  /** When the results were measured; of a run without any, when it began. */
  readonly measuredAt: Date;
  /** The experiment as it was run, paths absolute; null when it cannot be read. */
  readonly experiment: ResolvedExperiment | null;
}

interface Switches {
  readonly r1: RotationKind;
  readonly r2: RotationKind;
  readonly r3: boolean;
  readonly r4: boolean;
  readonly acrossHeads: boolean;
}

export function isUnrotated({ r1, r2, r3, r4, acrossHeads }: Switches): boolean {
  return r1 === 'none' && r2 === 'none' && !r3 && !r4 && !acrossHeads;
}

/** True when a run measured what rounding alone gives. */
export function isPlain({ experiment }: RunSummary): boolean {
  return experiment !== null && isUnrotated(experiment.rotation);
}

/** Results of versions that did not say when they were measured are as old as their file. */
export function measuredAt(run: Run, results: ResultsFile | null): Date {
  const said = new Date(results?.measuredAt ?? Number.NaN);
  if (!Number.isNaN(said.getTime())) return said;
  const file = statSync(run.path('results'), { throwIfNoEntry: false });
  return file?.mtime ?? new Date(run.record.startedAt);
}

/** Summaries of runs, read once until their folder changes. */
export class RunSummaries implements vscode.Disposable {
  readonly #runs: RunStore;
  readonly #log: vscode.LogOutputChannel;
  readonly #known = new Map<string, Promise<RunSummary>>();
  readonly #listener: vscode.Disposable;

  constructor(runs: RunStore, log: vscode.LogOutputChannel) {
    this.#runs = runs;
    this.#log = log;
    this.#listener = runs.onDidChange((dirs) => {
      for (const dir of dirs) this.#known.delete(dir);
    });
  }

  of(run: Run): Promise<RunSummary> {
    const known = this.#known.get(run.dir) ?? this.#read(run);
    this.#known.set(run.dir, known);
    return known;
  }

  /** The runs of one experiment file, newest first. */
  ofExperiment(file: string): Promise<RunSummary[]> {
    return Promise.all(this.#runs.ofExperiment(file).map((run) => this.of(run)));
  }

  all(): Promise<RunSummary[]> {
    return Promise.all(this.#runs.list().map((run) => this.of(run)));
  }

  dispose(): void {
    this.#listener.dispose();
  }

  async #read(run: Run): Promise<RunSummary> {
    const results = existsSync(run.path('results')) ? await this.#attempt(() => run.readResults()) : null;
    return {
      run,
      results,
      measuredAt: measuredAt(run, results),
      experiment: await this.#attempt(() => run.readExperiment()),
    };
  }

  /** A damaged file of one run must not take the others off the screen. */
  async #attempt<T>(read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      this.#log.warn(messageOf(error));
      return null;
    }
  }
}
