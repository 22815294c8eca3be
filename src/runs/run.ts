import { mkdirSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import {
  bitsLabel,
  type Experiment,
  experimentSchema,
  portableExperiment,
  type ResolvedExperiment,
  resolvePortable,
} from '../config/index.ts';
import { diskFault, writingNow } from '../disk/faults.ts';
import { UserError } from '../protocol/errors.ts';
import type { FinishedStatus, PhaseName, RunEvent } from '../protocol/events.ts';
import { type ActivationsFile, writeActivations } from './activations.ts';
import { EventLog, readEvents } from './event-log.ts';
import { RUN_FILES, readJson, readVersion1, writeJson } from './files.ts';
import { isAlive, type Provenance, parseRunRecord, type RunRecord, thisProcess } from './record.ts';
import type { NewResults, ResultsFile } from './results.ts';

/** A run folder. Only holders of one from {@link createRun} or claimed by {@link Run.resume} may write to it. */
export class Run {
  /** Absolute path of the folder. */
  readonly dir: string;
  private current: RunRecord;
  private readonly log: EventLog;

  constructor(dir: string, record: RunRecord) {
    this.dir = dir;
    this.current = record;
    this.log = new EventLog(join(dir, RUN_FILES.events));
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

  async readResults(): Promise<ResultsFile> {
    const results = await readVersion1<NewResults & Partial<ResultsFile>>(this.path('results'));
    return { ...results, measuredAt: results.measuredAt ?? null };
  }

  readActivations(): Promise<ActivationsFile> {
    return readVersion1<ActivationsFile>(this.path('activations'));
  }

  appendEvent(event: RunEvent): void {
    this.log.append(event);
  }

  /** See {@link EventLog.truncateAfterStep}. */
  truncateEventsAfterStep(step: number): void {
    this.log.truncateAfterStep(step);
  }

  /** See {@link EventLog.truncateAfterPhase}. */
  truncateEventsAfterPhase(phase: PhaseName): boolean {
    return this.log.truncateAfterPhase(phase);
  }

  /** Writes new measurements with the current time. */
  writeResults(results: NewResults): void {
    const measuredAt = new Date().toISOString();
    writeJson(this.path('results'), { ...results, measuredAt } satisfies ResultsFile);
  }

  writeActivations(activations: ActivationsFile): void {
    writeActivations(this.path('activations'), activations);
  }

  setProvenance(provenance: Provenance): void {
    this.update({ provenance });
  }

  /**
   * Claims a stopped run for this process and marks it running again.
   * @throws UserError `runs/busy` while another process is at work on it.
   */
  resume(): void {
    const owner = this.current.process;
    if (this.current.status === 'running' && owner.pid !== process.pid)
      throw new UserError(
        'runs/busy',
        `The run ${this.current.id} is at work in process ${owner.pid} on ${owner.host}.`,
        'Wait for it, or stop it first.',
      );
    this.update({ status: 'running', finishedAt: null, error: null, process: thisProcess() });
  }

  /** Ends the run. The event log is closed. */
  finish(status: FinishedStatus, error: RunRecord['error'] = null): void {
    this.log.close();
    this.update({ status, error, finishedAt: new Date().toISOString() });
  }

  private update(patch: Partial<RunRecord>): void {
    const next = { ...this.current, ...patch };
    writeJson(this.path('run'), next);
    this.current = next;
  }
}

/**
 * Makes a run folder `<runs>/<UTC time>-<slug>/` with `experiment.json` and `run.json` (status running).
 * @param experiment its `runs` is the parent folder; its source is recorded.
 * @param slug lower-case letters, digits and `-`.
 */
export function createRun(experiment: ResolvedExperiment, slug: string): Run {
  const startedAt = new Date();
  const { dir, id } = makeFolder(experiment.runs, `${compactTime(startedAt)}-${slug}`);
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
    error: null,
  };
  writeJson(join(dir, RUN_FILES.run), record);
  return new Run(dir, record);
}

/**
 * Opens a run folder for reading. A run with status `running` whose process is gone is shown as `interrupted`.
 * @throws UserError when the folder is not a run.
 */
export async function openRun(dir: string): Promise<Run> {
  const path = join(resolve(dir), RUN_FILES.run);
  const record = parseRunRecord(await readJson(path), path);
  const killed = record.status === 'running' && !isAlive(record.process);
  return new Run(resolve(dir), killed ? { ...record, status: 'interrupted' } : record);
}

async function readStoredExperiment(path: string): Promise<Experiment> {
  const result = experimentSchema.safeParse(await readJson(path));
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
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskFault(error, dir, 'written');
    }
  }
}
