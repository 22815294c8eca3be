import { existsSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { portableExperiment } from '../../../config/index.ts';
import { messageOf } from '../../../protocol/errors.ts';
import type { OwnIntent } from '../../../protocol/panels/common.ts';
import { PANELS } from '../../../protocol/panels/registry.ts';
import {
  type OpenTarget,
  type ResultsIntent,
  type ResultsMemory,
  type ResultsState,
  resultsIntentSchema,
  resultsMemorySchema,
} from '../../../protocol/panels/results.ts';
import { resultsStrings } from '../../../protocol/panels/results-strings.ts';
import type { Run } from '../../../runs/index.ts';
import { runDirOf } from '../../runs/choose.ts';
import type { Services } from '../../services.ts';
import { translate } from '../../words.ts';
import { showText } from '../groups.ts';
import { modelName } from '../names.ts';
import { Panel } from '../panel.ts';
import { type ResultsSource, resultsState } from './state.ts';

type Opened = Pick<ResultsSource, 'results' | 'experiment' | 'model'>;

/** The results panel: the table of all runs, and the two that are compared. */
export class ResultsPanel extends Panel<ResultsState, ResultsIntent, ResultsMemory> {
  /** By folder, with the time of the file that was read. */
  readonly #cache = new Map<string, { readonly mtimeMs: number; readonly opened: Opened }>();

  constructor(services: Services) {
    super(services, {
      name: 'results',
      strings: resultsStrings(translate),
      intents: resultsIntentSchema,
      memories: resultsMemorySchema,
      memory: { selected: [] },
    });
  }

  /** A list of runs to compare. */
  protected override choice([given]: readonly unknown[]): Partial<ResultsMemory> {
    if (!Array.isArray(given)) return {};
    const selected = given.map(runDirOf).filter((dir) => dir !== null);
    return { selected: selected.slice(0, 2) };
  }

  async state(): Promise<ResultsState> {
    const all = this.services.runs.list();
    const sources = (await Promise.all(all.map((run) => this.#source(run)))).filter((one) => one !== null);
    return resultsState({
      strings: this.strings,
      locale: vscode.env.language,
      memory: this.memory,
      sources,
      withoutResults: all.length - sources.length,
    });
  }

  async act(intent: OwnIntent<ResultsIntent>): Promise<void> {
    const { runs } = this.services;
    switch (intent.type) {
      case 'select':
        this.memory = { selected: intent.selected.filter((dir) => runs.get(dir) !== undefined) };
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

  async #open(run: Run, what: OpenTarget): Promise<void> {
    if (what === 'experiment') await showText(run.experimentFile);
    else await vscode.commands.executeCommand(PANELS[what].command, run.dir);
  }

  /** Null for a run without results, or whose files cannot be read: the log has the reason. */
  async #source(run: Run): Promise<ResultsSource | null> {
    if (!existsSync(run.path('results'))) return null;
    try {
      const opened = await this.#read(run);
      const annotation = this.services.runs.annotation(run.dir);
      return {
        ...opened,
        name: this.nameOf(run),
        label: annotation.label,
        starred: annotation.starred,
        status: run.record.status,
        hasActivations: existsSync(run.path('activations')),
      };
    } catch (error) {
      this.services.log.warn(messageOf(error));
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
