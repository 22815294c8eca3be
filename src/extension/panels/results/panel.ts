import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { ExperimentError } from '../../../config/index.ts';
import { COMMANDS } from '../../../protocol/ids.ts';
import type { OwnIntent } from '../../../protocol/panels/common.ts';
import type { MatrixPart } from '../../../protocol/panels/matrix.ts';
import { PANELS } from '../../../protocol/panels/registry.ts';
import {
  type OpenTarget,
  type ResultsIntent,
  type ResultsMemory,
  type ResultsState,
  type RunCommand,
  resultsIntentSchema,
  resultsMemorySchema,
} from '../../../protocol/panels/results.ts';
import { MOST_COMPARED } from '../../../protocol/panels/results-limits.ts';
import { resultsStrings } from '../../../protocol/panels/results-strings.ts';
import { formatMatrix, type Run, type TableFormat, withoutPublished } from '../../../runs/index.ts';
import { runDirOf } from '../../runs/choose.ts';
import type { Services } from '../../services.ts';
import { experimentName, progressText, translate } from '../../words.ts';
import { showText } from '../groups.ts';
import { Panel } from '../panel.ts';
import { savePicture } from './matrix/save.ts';
import { MatrixSource } from './matrix/source.ts';
import { ResultsSources } from './sources.ts';
import { resultsState } from './state.ts';

const RUN_COMMAND_IDS: Readonly<Record<RunCommand, string>> = {
  rename: COMMANDS.renameRun,
  delete: COMMANDS.deleteRun,
};

/** The results panel: the table of all runs, and those that are compared. */
export class ResultsPanel extends Panel<ResultsState, ResultsIntent, ResultsMemory> {
  readonly #sources: ResultsSources;
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
    this.#sources = new ResultsSources((message) => services.log.warn(message));
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
    return { selected: selected.slice(0, MOST_COMPARED) };
  }

  async state(): Promise<ResultsState> {
    const all = this.services.runs.list();
    const { runs } = this.services;
    const found = await Promise.all(
      all.map((run) => this.#sources.of(run, this.nameOf(run), runs.annotation(run.dir))),
    );
    const sources = found.filter((one) => one !== null);
    return resultsState({
      strings: this.strings,
      locale: vscode.env.language,
      memory: this.memory,
      sources,
      withoutResults: all.length - sources.length,
      matrix: await this.#matrix(),
      layers: await this.#layers(),
    });
  }

  /** Statistics are large: those of compared runs alone are read. */
  async #layers(): Promise<ReadonlyMap<string, readonly (number | null)[]>> {
    const { selected } = this.memory;
    if (selected.length < 2) return new Map();
    const compared = selected.flatMap((dir) => this.services.runs.get(dir) ?? []);
    return new Map(
      await Promise.all(compared.map(async (run) => [run.dir, await this.#sources.layersOf(run)] as const)),
    );
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
      case 'command':
        if (runs.get(intent.run))
          await vscode.commands.executeCommand(RUN_COMMAND_IDS[intent.command], intent.run);
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
    const place = what === 'run' ? await this.#mostOf(run) : what;
    if (place === 'experiment') await showText(run.experimentFile);
    else if (place === 'settings') await showText(run.path('experiment'));
    else await vscode.commands.executeCommand(PANELS[place].command, run.dir);
  }

  /** Where most of a run is to be seen: its curves, its layers, or at least its settings. */
  async #mostOf(run: Run): Promise<Exclude<OpenTarget, 'run'>> {
    const source = await this.#sources.of(run, this.nameOf(run), this.services.runs.annotation(run.dir));
    const learned = (source?.results.steps ?? 0) > 0;
    if (learned || existsSync(run.path('rounded'))) return 'training';
    return existsSync(run.path('activations')) ? 'layers' : 'settings';
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
}
