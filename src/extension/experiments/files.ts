import * as vscode from 'vscode';
import { EXPERIMENT_GLOB, EXPERIMENT_SUFFIX } from '../../protocol/ids.ts';
import { findDiskFiles } from '../disk-files.ts';
import { Disposables } from '../disposables.ts';
import { throttle } from '../throttle.ts';

const REMEMBERED = 'spinquant.activeExperiment';

export function isExperiment(document: vscode.TextDocument): boolean {
  return document.uri.scheme === 'file' && document.uri.fsPath.endsWith(EXPERIMENT_SUFFIX);
}

/** The experiment files of the workspace, and the one that the views show. */
export class ExperimentFiles implements vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  /** The list or the active one changed, or the contents of one. */
  readonly onDidChange = this.#changed.event;
  readonly #made = new vscode.EventEmitter<string>();
  /** A file that just came: told before the list has it, which takes a search. */
  readonly onDidMake = this.#made.event;
  readonly #context: vscode.ExtensionContext;
  readonly #disposables = new Disposables();
  readonly #refresh = throttle(() => void this.refresh(), 300);
  #files: readonly string[] = [];
  #active: string | null;

  constructor(context: vscode.ExtensionContext) {
    this.#context = context;
    this.#active = context.workspaceState.get<string>(REMEMBERED) ?? null;
    const watcher = this.#disposables.add(vscode.workspace.createFileSystemWatcher(EXPERIMENT_GLOB));
    for (const event of [watcher.onDidCreate, watcher.onDidDelete, watcher.onDidChange])
      this.#disposables.add(event(() => this.#refresh()));
    this.#disposables.add(watcher.onDidCreate(({ fsPath }) => this.#made.fire(fsPath)));
    this.#disposables.add(this.#made);
    this.#disposables.add(this.#refresh);
    this.#disposables.add(this.#changed);
    this.#disposables.add(vscode.window.onDidChangeActiveTextEditor((editor) => this.#follow(editor)));
    this.#follow(vscode.window.activeTextEditor);
  }

  /** Absolute paths, sorted. */
  get all(): readonly string[] {
    return this.#files;
  }

  /** The one last looked at, or the only one there is. */
  get active(): string | null {
    if (this.#active !== null && (this.#files.length === 0 || this.#files.includes(this.#active)))
      return this.#active;
    return this.#files[0] ?? null;
  }

  activate(file: string): void {
    if (file === this.#active) return;
    this.#active = file;
    void this.#context.workspaceState.update(REMEMBERED, file);
    this.#changed.fire();
  }

  async refresh(): Promise<void> {
    const found = await findDiskFiles(EXPERIMENT_GLOB);
    this.#files = found.map(({ fsPath }) => fsPath).sort();
    // For the welcome views and menus.
    void vscode.commands.executeCommand('setContext', 'spinquant.hasExperiments', this.#files.length > 0);
    this.#changed.fire();
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #follow(editor: vscode.TextEditor | undefined): void {
    if (editor !== undefined && isExperiment(editor.document)) this.activate(editor.document.uri.fsPath);
  }
}

/** Text as the editor has it, saved or not. */
export async function experimentText(file: string): Promise<string> {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.fsPath === file);
  if (open !== undefined) return open.getText();
  return new TextDecoder().decode(await vscode.workspace.fs.readFile(vscode.Uri.file(file)));
}
