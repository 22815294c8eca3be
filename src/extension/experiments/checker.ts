import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { Fault } from '../../config/index.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { ModelFault, ModelOutline } from '../../protocol/worker.ts';
import { Disposables } from '../disposables.ts';
import type { Worker } from '../jobs/worker.ts';
import { loadConfig } from '../lazy.ts';
import { isExperiment } from './files.ts';

const DELAY_MS = 250;
/** Faults of the file alone wait so long for those found against the model. */
const TOGETHER_MS = 500;
const SOURCE = 'SpinQuant';

/** A fault at its place; those found against the model may say what to put there. */
export type PlacedFault = Fault & Pick<ModelFault, 'suggestion'>;

/** Checks experiment files while they are edited, saved or not: first alone, then against their model. */
export class ExperimentChecker implements vscode.Disposable {
  readonly #worker: Worker;
  readonly #log: vscode.LogOutputChannel;
  readonly #disposables = new Disposables();
  readonly #collection: vscode.DiagnosticCollection;
  readonly #faults = new Map<string, readonly PlacedFault[]>();
  readonly #models = new Map<string, ModelOutline>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #outlined = new vscode.EventEmitter<string>();
  /** Fires with an experiment file whose model became known or changed. */
  readonly onDidOutline = this.#outlined.event;

  constructor(worker: Worker, log: vscode.LogOutputChannel) {
    this.#worker = worker;
    this.#log = log;
    this.#collection = this.#disposables.add(vscode.languages.createDiagnosticCollection('spinquant'));
    this.#disposables.add(this.#outlined);
    const { workspace, window } = vscode;
    const add = this.#disposables.add.bind(this.#disposables);
    add(workspace.onDidOpenTextDocument((document) => this.#schedule(document, 0)));
    add(workspace.onDidSaveTextDocument((document) => this.#schedule(document, 0)));
    add(workspace.onDidChangeTextDocument(({ document }) => this.#schedule(document, DELAY_MS)));
    add(workspace.onDidCloseTextDocument((document) => this.#forget(document)));
    // Files that an experiment names may have come or gone meanwhile.
    add(window.onDidChangeWindowState(({ focused }) => focused && this.#all()));
    add(workspace.onDidCreateFiles(() => this.#all()));
    add(workspace.onDidDeleteFiles(() => this.#all()));
    this.#all();
  }

  /** Faults that overlap a range of a document. */
  faultsAt(document: vscode.TextDocument, range: vscode.Range): PlacedFault[] {
    const faults = this.#faults.get(document.uri.fsPath) ?? [];
    return faults.filter((fault) => rangeOf(fault).intersection(range) !== undefined);
  }

  /** The model of an experiment file, once it has been read. */
  model(file: string): ModelOutline | null {
    return this.#models.get(file) ?? null;
  }

  /** Has the model of an experiment file read, for views that show it before it is opened: `onDidOutline` tells when. */
  requestOutline(file: string, text: string): void {
    void this.#againstModel(file, text);
  }

  dispose(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#disposables.dispose();
  }

  #all(): void {
    for (const document of vscode.workspace.textDocuments) this.#schedule(document, 0);
  }

  #schedule(document: vscode.TextDocument, delayMs: number): void {
    if (!isExperiment(document)) return;
    const { fsPath } = document.uri;
    clearTimeout(this.#timers.get(fsPath));
    this.#timers.set(
      fsPath,
      setTimeout(() => void this.#check(document), delayMs),
    );
  }

  #forget(document: vscode.TextDocument): void {
    if (!isExperiment(document)) return;
    clearTimeout(this.#timers.get(document.uri.fsPath));
    this.#faults.delete(document.uri.fsPath);
    this.#collection.delete(document.uri);
  }

  async #check(document: vscode.TextDocument): Promise<void> {
    const { version, uri } = document;
    const text = document.getText();
    const { checkExperiment, uniqueFaults } = await loadConfig();
    const byModel = this.#againstModel(uri.fsPath, text);
    const { faults } = await checkExperiment(text, uri.fsPath);
    const isCurrent = () => document.version === version && !document.isClosed;
    // Together, so that nobody mends one and then meets another; but the first start of the worker takes its time.
    const found = await Promise.race([byModel, sleep(TOGETHER_MS, null)]);
    if (!isCurrent()) return;
    this.#publish(document, uniqueFaults<PlacedFault>([...faults, ...(found ?? [])]));
    if (found !== null) return;
    const late = await byModel;
    if (isCurrent() && late.length > 0)
      this.#publish(document, uniqueFaults<PlacedFault>([...faults, ...late]));
  }

  async #againstModel(file: string, text: string): Promise<readonly ModelFault[]> {
    try {
      const client = await this.#worker.connect();
      const { faults, model } = await client.request('check', { text, file });
      const isKnown = JSON.stringify(model) === JSON.stringify(this.model(file));
      if (model === null) this.#models.delete(file);
      else this.#models.set(file, model);
      // Views that hear of it ask again for a model that they miss.
      if (!isKnown) this.#outlined.fire(file);
      return faults;
    } catch (error) {
      // The worker's own fault: whoever starts a run is told; while somebody types, the log is enough.
      this.#log.warn(`${file} was not checked against its model: ${messageOf(error)}`);
      return [];
    }
  }

  #publish(document: vscode.TextDocument, faults: readonly PlacedFault[]): void {
    this.#faults.set(document.uri.fsPath, faults);
    // The editor's JSON support reports syntax itself, unless it is switched off.
    const json = vscode.workspace.getConfiguration('json').get<boolean>('validate.enable') !== false;
    const own = faults.filter(({ code }) => !(json && code === 'config/syntax'));
    this.#collection.set(document.uri, own.map(toDiagnostic));
  }
}

function toDiagnostic(fault: PlacedFault): vscode.Diagnostic {
  const severity =
    fault.severity === 'error' ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning;
  const text = fault.message.includes(fault.hint) ? fault.message : `${fault.message} ${fault.hint}`;
  const diagnostic = new vscode.Diagnostic(rangeOf(fault), text, severity);
  diagnostic.source = SOURCE;
  diagnostic.code = fault.code;
  return diagnostic;
}

/** Faults never span lines but for whole objects, of which the first line is enough. */
function rangeOf({ range }: PlacedFault): vscode.Range {
  const start = new vscode.Position(range.line - 1, range.column - 1);
  return new vscode.Range(start, start.translate(0, Math.max(1, range.length)));
}
