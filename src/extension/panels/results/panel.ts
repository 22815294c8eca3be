import { existsSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { ExperimentError, portableExperiment } from '../../../config/index.ts';
import { messageOf } from '../../../protocol/errors.ts';
import { COMMANDS } from '../../../protocol/ids.ts';
import type { OwnIntent } from '../../../protocol/panels/common.ts';
import type { MatrixPart } from '../../../protocol/panels/matrix.ts';
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
import { formatMatrix, type Run, type TableFormat, withoutPublished } from '../../../runs/index.ts';
import { runDirOf } from '../../runs/choose.ts';
import type { Services } from '../../services.ts';
import { experimentName, progressText, translate } from '../../words.ts';
import { showText } from '../groups.ts';
import { modelName } from '../names.ts';
import { Panel } from '../panel.ts';
import { savePicture } from './matrix/save.ts';
import { MatrixSource } from './matrix/source.ts';
import { type ResultsSource, resultsState } from './state.ts';

type Opened = Pick<ResultsSource, 'results' | 'experiment' | 'model'>;

/** The results panel: the table of all runs, and the two that are compared. */
export class ResultsPanel extends Panel<ResultsState, ResultsIntent, ResultsMemory> {
  /** By folder, with the time of the file that was read. */
  readonly #cache = new Map<string, { readonly mtimeMs: number; readonly opened: Opened }>();
  readonly #matrices: MatrixSource;
  /** When somebody asked for a table, in milliseconds. */
  #askedAt = 0;

  constructor(services: Services) {
    super(services, {
      name: 'results',
      strings: resultsStrings(translate),
      intents: resultsIntentSchema,
      memories: resultsMemorySchema,
      memory: { selected: [], table: null, bits: null },
    });
    this.#matrices = new MatrixSource(services);
    this.own(services.experiments.onDidChange(() => this.update()));
    this.own(services.jobs.onDidChange(() => this.update()));
    this.own(services.reasons.onDidChange(() => this.update()));
  }

  /** A list of runs to compare, or the experiment file whose table is to be shown. */
  protected override choice([given]: readonly unknown[]): Partial<ResultsMemory> {
    if (given instanceof vscode.Uri) {
      this.#askedAt = Date.now();
      return { table: given.fsPath };
    }
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
      matrix: await this.#matrix(),
    });
  }

  async act(intent: OwnIntent<ResultsIntent>): Promise<void> {
    const { runs } = this.services;
    switch (intent.type) {
      case 'select':
        this.memory = {
          ...this.memory,
          selected: intent.selected.filter((dir) => runs.get(dir) !== undefined),
        };
        break;
      case 'table':
        this.memory = { ...this.memory, table: intent.file, bits: intent.bits };
        break;
      case 'copy-table':
        await this.#copyTable(intent.format, intent.published);
        break;
      case 'fill-table':
        await vscode.commands.executeCommand(COMMANDS.optimize, vscode.Uri.file(intent.file));
        break;
      case 'save-picture':
        await savePicture(intent, await this.#tableFile());
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
    else if (what === 'settings') await showText(run.path('experiment'));
    else await vscode.commands.executeCommand(PANELS[what].command, run.dir);
  }

  /** The experiment file whose table is shown: the one chosen, else the one last looked at, else the first. */
  async #tableFile(): Promise<string | null> {
    const all = await this.#matrices.all();
    const { active } = this.services.experiments;
    return all.find((file) => file === (this.memory.table ?? active)) ?? all[0] ?? null;
  }

  async #matrix(): Promise<MatrixPart> {
    const all = (await this.#matrices.all()).map((file) => ({ file, name: experimentName(file) }));
    const file = await this.#tableFile();
    const part = {
      all,
      file,
      table: null,
      problem: null,
      progress: this.#progress(file),
      askedAt: this.#askedAt,
    };
    if (file === null) return part;
    try {
      const reading = await this.#matrices.reading(file);
      if (reading instanceof ExperimentError) return { ...part, problem: this.problemOf(reading) };
      if (reading === null) return part;
      return { ...part, table: await this.#matrices.table(reading, this.memory.bits) };
    } catch (error) {
      return { ...part, problem: this.problemOf(error) };
    }
  }

  /** How far the job is that fills a table. */
  #progress(file: string | null): string | null {
    const job = this.services.jobs.running;
    if (job === null || job.kind !== 'optimize' || job.experiment !== file) return null;
    return progressText(this.services.jobs.progress(job.id));
  }

  async #copyTable(format: TableFormat, published: boolean): Promise<void> {
    const file = await this.#tableFile();
    const reading = file === null ? null : await this.#matrices.reading(file);
    if (reading === null || reading instanceof ExperimentError) return;
    const table = await this.#matrices.runsTable(reading);
    const shown = published ? table : withoutPublished(table);
    await vscode.env.clipboard.writeText(`${formatMatrix(shown, format)}\n`);
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
