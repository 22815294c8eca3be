import { existsSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { portableExperiment } from '../../../config/index.ts';
import { messageOf } from '../../../protocol/errors.ts';
import { COMMANDS, PANELS } from '../../../protocol/ids.ts';
import { parseIntent } from '../../../protocol/panels/common.ts';
import {
  type ResultsIntent,
  type ResultsMemory,
  type ResultsState,
  resultsIntentSchema,
} from '../../../protocol/panels/results.ts';
import { resultsStrings } from '../../../protocol/panels/results-strings.ts';
import type { Run } from '../../../runs/index.ts';
import type { Services } from '../../services.ts';
import { showText } from '../groups.ts';
import { modelName, runName } from '../names.ts';
import { PanelHost, type PanelView } from '../panel-host.ts';
import { type ResultsSource, resultsState } from './state.ts';

type OwnIntent = Exclude<ResultsIntent, { type: 'ready' | 'begin' }>;
type Opened = Pick<ResultsSource, 'results' | 'experiment' | 'model'>;

/** The results panel: the table of all runs, and the two that are compared. */
export class ResultsPanel implements PanelView<ResultsState, OwnIntent>, vscode.Disposable {
  readonly viewType = PANELS.results;
  readonly bundle = 'results';
  readonly host: PanelHost<ResultsState, OwnIntent>;
  readonly #services: Services;
  readonly #strings = resultsStrings((message) => vscode.l10n.t(message));
  readonly #subscriptions: vscode.Disposable[];
  #memory: ResultsMemory = { selected: [] };
  /** By folder, with the time of the file that was read. */
  readonly #cache = new Map<string, { readonly mtimeMs: number; readonly opened: Opened }>();

  constructor(services: Services) {
    this.#services = services;
    this.host = new PanelHost<ResultsState, OwnIntent>(services, this);
    this.#subscriptions = [this.host, services.runs.onDidChange(() => this.host.update())];
  }

  get title(): string {
    return this.#strings.panel;
  }

  titleOf(): string {
    return this.title;
  }

  /** @param selected runs to compare; null leaves the selection as it is. */
  show(selected: readonly string[] | null): void {
    if (selected) this.restore({ selected: selected.slice(0, 2) });
    this.host.show();
  }

  restore(memory: ResultsMemory): void {
    this.#memory = memory;
  }

  parse(message: unknown): ResultsIntent | null {
    return parseIntent(resultsIntentSchema, message);
  }

  async state(): Promise<ResultsState> {
    const all = this.#services.runs.list();
    const sources = (await Promise.all(all.map((run) => this.#source(run)))).filter((one) => one !== null);
    return resultsState({
      strings: this.#strings,
      locale: vscode.env.language,
      memory: this.#memory,
      sources,
      withoutResults: all.length - sources.length,
    });
  }

  async act(intent: OwnIntent): Promise<void> {
    const { runs } = this.#services;
    switch (intent.type) {
      case 'select':
        this.#memory = { selected: intent.selected.filter((dir) => runs.get(dir) !== undefined) };
        break;
      case 'star':
        if (runs.get(intent.run)) await runs.annotate(intent.run, { starred: intent.starred });
        break;
      case 'copy':
        await vscode.env.clipboard.writeText(intent.text);
        break;
      case 'open': {
        const run = runs.get(intent.run);
        if (run) await this.#open(run, intent.what);
        break;
      }
    }
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  async #open(run: Run, what: 'experiment' | 'training' | 'layers'): Promise<void> {
    if (what !== 'experiment') {
      const command = what === 'training' ? COMMANDS.showTraining : COMMANDS.showLayers;
      await vscode.commands.executeCommand(command, run.dir);
      return;
    }
    await showText(run.experimentFile);
  }

  /** Null for a run without results, or whose files cannot be read: the log says why. */
  async #source(run: Run): Promise<ResultsSource | null> {
    if (!existsSync(run.path('results'))) return null;
    try {
      const opened = await this.#read(run);
      const annotation = this.#services.runs.annotation(run.dir);
      return {
        ...opened,
        name: runName(run, annotation, vscode.env.language),
        label: annotation.label,
        starred: annotation.starred,
        status: run.record.status,
        hasActivations: existsSync(run.path('activations')),
      };
    } catch (error) {
      this.#services.log.warn(messageOf(error));
      return null;
    }
  }

  async #read(run: Run): Promise<Opened> {
    const { mtimeMs } = statSync(run.path('results'));
    const known = this.#cache.get(run.dir);
    if (known?.mtimeMs === mtimeMs) return known.opened;
    const [results, experiment] = await Promise.all([run.readResults(), run.readExperiment()]);
    const opened = {
      results,
      experiment: portableExperiment(experiment),
      model: modelName(run, experiment.model),
    };
    this.#cache.set(run.dir, { mtimeMs, opened });
    return opened;
  }
}
