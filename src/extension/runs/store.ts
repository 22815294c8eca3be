import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import type { Run } from '../../runs/index.ts';
import { Disposables } from '../disposables.ts';
import type { ExperimentFiles } from '../experiments/files.ts';
import { loadRuns } from '../lazy.ts';
import type { Job, Jobs, RunAnnotation, RunStore } from '../services.ts';
import { throttle } from '../throttle.ts';
import { language } from '../words.ts';
import { NO_ANNOTATION, readAnnotation, writeAnnotation } from './annotations.ts';
import { findRunFolders } from './folders.ts';
import { LiveRuns } from './live.ts';
import { RunsLook } from './look.ts';
import { distinctNames } from './names.ts';

const INTERVAL_MS = 100;
/** What is made or deleted elsewhere is seen within two seconds, whatever tells of files. */
const LOOK_MS = 1000;
/** A search of the workspace. */
const FOLDERS_MS = 1000;
const REMEMBERED = 'spinquant.runFolders';
const DEFAULT_RUNS = join(sep, '.spinquant', 'runs');

/** The run folders of the workspace, kept up to date by watching their files. */
export class WorkspaceRuns implements RunStore {
  readonly #changed = new vscode.EventEmitter<readonly string[]>();
  readonly onDidChange = this.#changed.event;
  readonly #memory: vscode.Memento;
  readonly #log: vscode.LogOutputChannel;
  readonly #runs: LiveRuns;
  /** Names of runs that would be called the same. */
  #names: ReadonlyMap<string, string> = new Map();
  #namedOf = '';
  readonly #folders = new Set<string>();
  readonly #watchers = new Disposables();
  /** Run folders to read again. */
  readonly #dirty = new Set<string>();
  readonly #flush = throttle(() => void this.#readDirty(), INTERVAL_MS);
  readonly #look = new RunsLook();
  readonly #looks = setInterval(() => void this.#lookAround(), LOOK_MS);
  #isLooking = false;
  #reading: Promise<void> = Promise.resolve();

  /** To be made before any view: it hears of jobs first, so that views find runs as the queue says. */
  constructor(memory: vscode.Memento, log: vscode.LogOutputChannel, jobs: Jobs) {
    this.#memory = memory;
    this.#log = log;
    this.#runs = new LiveRuns(() => jobs.running);
    this.#watchers.add(jobs.onDidChange((job) => this.#jobChanged(job)));
    this.#watch(vscode.workspace.createFileSystemWatcher('**/.spinquant/runs/**'));
    this.#watch(vscode.workspace.createFileSystemWatcher('**/.spinquant/labels.json'));
    // Of a folder that comes or goes with all that is in it, its own event may be the only one.
    this.#watch(vscode.workspace.createFileSystemWatcher('**/.spinquant'));
    this.#watch(vscode.workspace.createFileSystemWatcher('**/.spinquant/runs'));
  }

  list(): readonly Run[] {
    return this.#runs.sorted();
  }

  ofExperiment(experimentFile: string): readonly Run[] {
    return this.list().filter((run) => run.experimentFile === experimentFile);
  }

  get(runDir: string): Run | undefined {
    return this.#runs.get(runDir);
  }

  annotation(runDir: string): RunAnnotation {
    try {
      const annotation = readAnnotation(runDir);
      return { ...annotation, name: annotation.name ?? this.#names.get(runDir) ?? null };
    } catch (error) {
      this.#log.warn(messageOf(error));
      return NO_ANNOTATION;
    }
  }

  async annotate(runDir: string, change: Partial<RunAnnotation>): Promise<void> {
    await writeAnnotation(runDir, change);
    this.#changed.fire([runDir]);
  }

  /** Once resolved the run is gone from every list: whoever looks next finds only what can be read. */
  async delete(runDir: string): Promise<void> {
    await rm(runDir, { recursive: true, force: true, maxRetries: 3 });
    await writeAnnotation(runDir, null);
    await this.settle(runDir);
  }

  /** Looks for runs everywhere again: first where they were the last time, since a search takes its time. */
  async refresh(): Promise<void> {
    for (const folder of this.#memory.get<string[]>(REMEMBERED) ?? []) this.#addFolder(folder);
    await this.#readFolders();
    const before = this.#folders.size;
    for (const folder of await findRunFolders()) this.#addFolder(folder);
    if (this.#folders.size > before) await this.#readFolders();
    void this.#memory.update(REMEMBERED, [...this.#folders]);
  }

  /** Experiments that are made, or name other folders, may have runs there. */
  follow({ onDidChange, onDidMake }: Pick<ExperimentFiles, 'onDidChange' | 'onDidMake'>): vscode.Disposable {
    const find = throttle(() => this.#findFolders(), FOLDERS_MS);
    const made = (file: string) => this.#addFolder(join(dirname(file), DEFAULT_RUNS));
    return vscode.Disposable.from(find, onDidChange(find), onDidMake(made));
  }

  async #findFolders(): Promise<void> {
    try {
      for (const folder of await findRunFolders()) this.#addFolder(folder);
    } catch (error) {
      this.#log.warn(messageOf(error));
    }
  }

  /** Reads one run folder again; resolves when that is done. */
  async settle(runDir: string): Promise<void> {
    this.#addFolder(dirname(runDir));
    this.#dirty.add(runDir);
    await this.#readDirty();
  }

  /** Reads one run folder again soon: somebody knows that it changed before the file system reports it. */
  touch(runDir: string): void {
    this.#addFolder(dirname(runDir));
    this.#dirty.add(runDir);
    this.#flush();
  }

  dispose(): void {
    clearInterval(this.#looks);
    this.#flush.dispose();
    this.#watchers.dispose();
    this.#changed.dispose();
  }

  /** The queue decides whether a run counts as running: views are told with the job, not when a file has changed. */
  #jobChanged({ runDir, state }: Job): void {
    if (runDir === null) return;
    if (this.#runs.get(runDir) !== undefined) this.#changed.fire([runDir]);
    // A new run's folder is known to the queue before the file system tells.
    if (state === 'running') this.touch(runDir);
  }

  async #lookAround(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      // As they were read: one that a job of ours works on counts as running for longer.
      for (const dir of await this.#look.changes(this.#folders, this.#runs.asRead())) this.touch(dir);
    } finally {
      this.#isLooking = false;
    }
  }

  async #readFolders(): Promise<void> {
    const { listRuns } = await loadRuns();
    for (const folder of this.#folders) {
      const { runs, damaged } = await listRuns(folder);
      for (const { dir } of runs) this.#dirty.add(dir);
      for (const { error } of damaged) this.#log.warn(messageOf(error));
    }
    for (const dir of this.#runs.dirs) this.#dirty.add(dir);
    await this.#readDirty();
  }

  #watch(watcher: vscode.FileSystemWatcher): void {
    this.#watchers.add(watcher);
    const changed = ({ fsPath }: vscode.Uri) => this.#fileChanged(fsPath);
    watcher.onDidCreate(changed);
    watcher.onDidChange(changed);
    watcher.onDidDelete(changed);
  }

  #fileChanged(path: string): void {
    if (basename(path) === 'labels.json') {
      this.#changed.fire(this.#runs.dirs);
      return;
    }
    if (path.endsWith(`${sep}.spinquant`) || path.endsWith(DEFAULT_RUNS)) {
      this.#addFolder(path.endsWith(DEFAULT_RUNS) ? path : join(path, 'runs'));
      void this.#lookAround();
      return;
    }
    const dir = this.#runDirOf(path);
    // A sign of life changes nothing that is shown.
    if (dir !== null && !path.startsWith(join(dir, 'lock') + sep)) this.touch(dir);
  }

  /** The run folder that a file lies in: the folder just below a runs folder. */
  #runDirOf(path: string): string | null {
    const marker = `${sep}.spinquant${sep}runs${sep}`;
    const at = path.lastIndexOf(marker);
    const known = [...this.#folders].find((folder) => path.startsWith(folder + sep));
    const folder = at >= 0 ? path.slice(0, at + marker.length - 1) : known;
    const name = folder === undefined ? '' : path.slice(folder.length + 1).split(sep, 1)[0]!;
    return folder === undefined || name === '' ? null : join(folder, name);
  }

  #addFolder(folder: string): void {
    if (this.#folders.has(folder)) return;
    this.#folders.add(folder);
    if (folder.endsWith(DEFAULT_RUNS)) return;
    this.#watch(
      vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(vscode.Uri.file(folder), '**')),
    );
  }

  /** One reading at a time, so that an older one cannot overwrite a newer. */
  #readDirty(): Promise<void> {
    this.#reading = this.#reading.then(async () => {
      const dirs = [...this.#dirty];
      this.#dirty.clear();
      if (dirs.length === 0) return;
      const { openRun, RUN_FILES } = await loadRuns();
      for (const dir of dirs) {
        if (existsSync(join(dir, RUN_FILES.run))) await this.#read(dir, openRun);
        else this.#runs.delete(dir);
      }
      this.#nameAgain();
      this.#changed.fire(dirs);
    });
    return this.#reading;
  }

  /** Names follow from what does not change in a run: only runs that come or go give others. */
  #nameAgain(): void {
    const key = this.#runs.dirs.join('\n');
    if (key === this.#namedOf) return;
    this.#namedOf = key;
    this.#names = distinctNames(this.list(), language());
  }

  async #read(dir: string, openRun: (dir: string) => Promise<Run>): Promise<void> {
    try {
      this.#runs.set(await openRun(dir));
    } catch (error) {
      this.#runs.delete(dir);
      this.#log.warn(messageOf(error));
    }
  }
}
