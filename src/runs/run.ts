import { mkdirSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import {
  bitsLabel,
  type Experiment,
  experimentSchema,
  mergeSettings,
  portableExperiment,
  type ResolvedExperiment,
  resolvePortable,
} from '../config/index.ts';
import { diskFault, writingNow } from '../disk/faults.ts';
import { codeOf, type Stopped, UserError } from '../protocol/errors.ts';
import type { FinishedStatus, PhaseName, RunEvent } from '../protocol/events.ts';
import { type ActivationsFile, activationsSchema, writeActivations } from './activations.ts';
import { type AttributionFile, readAttribution } from './attribution.ts';
import { EventLog, type EventPlace, type EventsFrom, readEvents, readEventsFrom } from './event-log.ts';
import { RUN_FILES, readJson, readVersion1, writeJson } from './files.ts';
import { type FolderLock, takeLock } from './lock.ts';
import { holderText, isLocked, newestLock } from './lock-files.ts';
import { isAlive, thisProcess } from './process.ts';
import { type Provenance, parseRunRecord, type RunCell, type RunRecord } from './record.ts';
import { type NewResults, type ResultsFile, resultsSchema } from './results.ts';

/**
 * A run folder. Holders of one from {@link createRun}, or claimed by {@link Run.claim}, work in it alone: their writes
 * throw the errors of {@link FolderLock.check} once it is no longer theirs.
 */
export class Run {
  /** Absolute path of the folder. */
  readonly dir: string;
  private current: RunRecord;
  private readonly log: EventLog;
  private lock: FolderLock | null;

  constructor(dir: string, record: RunRecord, lock: FolderLock | null = null) {
    this.dir = dir;
    this.current = record;
    this.log = new EventLog(join(dir, RUN_FILES.events));
    this.lock = lock;
  }

  get record(): RunRecord {
    return this.current;
  }

  /** Returns the absolute path of one of the run's files. */
  path(file: keyof typeof RUN_FILES): string {
    return join(this.dir, RUN_FILES[file]);
  }

  /** Returns the same run for readers, with another status. */
  withStatus(status: RunRecord['status']): Run {
    return new Run(this.dir, { ...this.current, status });
  }

  /** The absolute path of the run's experiment file. */
  get experimentFile(): string {
    return resolve(this.dir, this.current.experimentFile);
  }

  /** Reads the experiment as it was when the run began, with absolute paths. */
  async readExperiment(): Promise<ResolvedExperiment> {
    return resolvePortable(await readStoredExperiment(this.path('experiment')), this.experimentFile);
  }

  readEvents(): Promise<RunEvent[]> {
    return readEvents(this.path('events'));
  }

  /** See {@link readEventsFrom}. */
  readEventsFrom(place: EventPlace): Promise<EventsFrom> {
    return readEventsFrom(this.path('events'), place);
  }

  readResults(): Promise<ResultsFile> {
    return readVersion1(this.path('results'), resultsSchema, 'the results of a run');
  }

  readActivations(): Promise<ActivationsFile> {
    return readVersion1(this.path('activations'), activationsSchema, 'the activation statistics of a run');
  }

  readAttribution(): Promise<AttributionFile> {
    return readAttribution(this.path('attribution'));
  }

  /** To be called before anything is written into the folder by other means. @throws as {@link FolderLock.check}. */
  check(): void {
    this.lock?.check();
  }

  /** True once a check has failed: the run is another's. */
  get isLost(): boolean {
    return this.lock?.isLost ?? false;
  }

  appendEvent(event: RunEvent): void {
    this.check();
    this.log.append(event);
  }

  /** See {@link EventLog.truncateAfterStep}. */
  truncateEventsAfterStep(step: number): void {
    this.check();
    this.log.truncateAfterStep(step);
  }

  /** See {@link EventLog.truncateAfterPhase}. */
  truncateEventsAfterPhase(phase: PhaseName): boolean {
    this.check();
    return this.log.truncateAfterPhase(phase);
  }

  /** See {@link EventLog.dropStepsAfter}. */
  dropStepsAfter(step: number): void {
    this.check();
    this.log.dropStepsAfter(step);
  }

  /** Writes new measurements with the current time. */
  writeResults(results: NewResults): void {
    this.check();
    const measuredAt = new Date().toISOString();
    writeJson(this.path('results'), { ...results, measuredAt } satisfies ResultsFile);
  }

  writeActivations(activations: ActivationsFile): void {
    this.check();
    writeActivations(this.path('activations'), activations);
  }

  /** Writes down that the run uses a shared result: it is not removed while the run is there. @param name of its folder. */
  noteUse(name: string): void {
    const { uses } = this.current;
    if (!uses?.includes(name)) this.update({ uses: [...(uses ?? []), name] });
  }

  setProvenance(provenance: Provenance): void {
    this.update({ provenance });
  }

  /**
   * Claims a stopped run for this process. Its record stays as it is until {@link resume}.
   * @param takeOver takes it from a process that is, or may be, at work on it.
   * @returns in words, the process that was taken for gone without proof; null where there was none.
   * @throws UserError `runs/busy` while another process is at work on it, `runs/finished`.
   */
  async claim(takeOver = false): Promise<string | null> {
    const unproven = await this.ownerWithoutLock(takeOver);
    const { lock, leftBy } = takeLock(this.dir, { force: takeOver });
    this.lock = lock;
    try {
      // What was read before may have changed until the lock was taken.
      this.current = await readRecord(this.dir);
      if (this.current.status === 'finished')
        throw new UserError('runs/finished', `The run ${this.current.id} is finished.`, 'Start a new run.');
    } catch (error) {
      this.close();
      throw error;
    }
    return leftBy ?? unproven;
  }

  /** Marks a claimed run running again. */
  resume(): void {
    this.update({ status: 'running', finishedAt: null, error: null, process: thisProcess() });
  }

  /**
   * Writes into the record that a process which worked on the run is gone. Reading the record says so too, but only on
   * this machine. A run that another process has claimed since is left alone.
   * @param how the word for it: a process that did not stop in time was asked to.
   */
  async markLeft(pid: number, how: Stopped = 'interrupted'): Promise<void> {
    const { lock } = takeLock(this.dir, { brief: true });
    this.lock = lock;
    try {
      this.current = await readRecord(this.dir);
      const { status, process: owner } = this.current;
      if (status === 'running' && owner.pid === pid && !isAlive(owner))
        this.update({ status: how, finishedAt: new Date().toISOString() });
    } finally {
      this.close();
    }
  }

  /** Ends the run. The folder is given back. */
  finish(status: FinishedStatus, error: RunRecord['error'] = null): void {
    this.update({ status, error, finishedAt: new Date().toISOString() });
    this.close();
  }

  /** Gives the folder back, with the record as it is. */
  close(): void {
    this.log.close();
    this.lock?.release();
  }

  private update(patch: Partial<RunRecord>): void {
    this.check();
    const next = { ...this.current, ...patch };
    writeJson(this.path('run'), next);
    this.current = next;
  }

  /** Earlier versions have no lock: only their record tells of a process. */
  private async ownerWithoutLock(takeOver: boolean): Promise<string | null> {
    if (newestLock(this.dir) !== null) return null;
    const { status, process: owner, startedAt, id } = await readRecord(this.dir);
    if (status !== 'running' || !isAlive(owner)) return null;
    const text = holderText(owner, startedAt, null);
    if (takeOver) return text;
    throw new UserError(
      'runs/busy',
      `The run ${id} is at work in ${text}: an earlier version of SpinQuant Lab began it.`,
      `Wait for it, or stop it there (kill ${owner.pid}). If that process is gone, take the run over: --resume with --take-over.`,
    );
  }
}

/**
 * Makes a run folder `<runs>/<UTC time>-<slug>/` with `experiment.json` and `run.json` (status running).
 * @param experiment its `runs` is the parent folder; its source is recorded.
 * @param slug lower-case letters, digits and `-`.
 * @param cell what the run is in the table of a matrix.
 */
export function createRun(experiment: ResolvedExperiment, slug: string, cell: RunCell | null = null): Run {
  const startedAt = new Date();
  const { dir, id } = makeFolder(experiment.runs, `${compactTime(startedAt)}-${slug}`);
  const { lock } = takeLock(dir);
  writeJson(join(dir, RUN_FILES.experiment), portableExperiment(experiment));
  const record: RunRecord = {
    version: 1,
    id,
    status: 'running',
    startedAt: startedAt.toISOString(),
    finishedAt: null,
    experimentFile: relative(dir, experiment.source.file).split(sep).join('/'),
    bits: bitsLabel(experiment.quantization),
    process: thisProcess(),
    provenance: null,
    cell,
    uses: [],
    error: null,
  };
  writeJson(join(dir, RUN_FILES.run), record);
  return new Run(dir, record, lock);
}

/**
 * Opens a run folder for reading. A run with status `running` whose process is gone is shown as `interrupted`.
 * @throws UserError when the folder is not a run.
 */
export async function openRun(dir: string): Promise<Run> {
  const path = resolve(dir);
  const record = await readRecord(path);
  const killed = record.status === 'running' && !isAtWork(path, record);
  return new Run(path, killed ? { ...record, status: 'interrupted' } : record);
}

async function readRecord(dir: string): Promise<RunRecord> {
  const path = join(dir, RUN_FILES.run);
  return parseRunRecord(await readJson(path), path);
}

/** The lock decides; runs of earlier versions have none. Reading leaves the folder alone, and asks this clock. */
function isAtWork(dir: string, record: RunRecord): boolean {
  return newestLock(dir) === null ? isAlive(record.process) : isLocked(dir);
}

/** Of settings that came after the first runs, where the default is another by now. */
const FORMER_DEFAULTS = { quantization: { keys: { offset: 'bias' } } };

async function readStoredExperiment(path: string): Promise<Experiment> {
  const result = experimentSchema.safeParse(mergeSettings(FORMER_DEFAULTS, await readJson(path)));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UserError(
    'runs/damaged',
    `${path} is not an experiment: ${issue.path.join('.')}: ${issue.message}.`,
    'Use the version of SpinQuant Lab that wrote the run.',
  );
}

/** Writes `20250131T094500Z`, which sorts by time. */
function compactTime(time: Date): string {
  return time.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
}

/** Makes the folder. If two runs start in the same second, the second is called `…-2`. */
function makeFolder(parent: string, name: string): { dir: string; id: string } {
  writingNow(parent, () => mkdirSync(parent, { recursive: true }));
  for (let attempt = 1; ; attempt++) {
    const id = attempt === 1 ? name : `${name}-${attempt}`;
    const dir = resolve(parent, id);
    try {
      mkdirSync(dir);
      return { dir, id };
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw diskFault(error, dir, 'written');
    }
  }
}
