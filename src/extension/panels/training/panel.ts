import * as vscode from 'vscode';
import { PANELS } from '../../../protocol/ids.ts';
import { parseIntent, type RunName } from '../../../protocol/panels/common.ts';
import {
  type TrainingIntent,
  type TrainingMemory,
  type TrainingState,
  trainingIntentSchema,
} from '../../../protocol/panels/training.ts';
import { trainingStrings } from '../../../protocol/panels/training-strings.ts';
import { isResumable, type Run } from '../../../runs/index.ts';
import type { Job, Services } from '../../services.ts';
import { showText } from '../groups.ts';
import { runName } from '../names.ts';
import { PanelHost, type PanelView } from '../panel-host.ts';
import { LearnedRuns } from './learned.ts';
import { TrainingSources } from './sources.ts';
import { type RunControl, trainingState } from './state.ts';

/** Lines of more runs than this cannot be told apart. */
const MAX_OVERLAYS = 5;
/** Runs offered for overlay. */
const MAX_CHOICES = 24;

type OwnIntent = Exclude<TrainingIntent, { type: 'ready' | 'begin' }>;

/** The training panel: which runs it shows, and what its buttons do. */
export class TrainingPanel implements PanelView<TrainingState, OwnIntent>, vscode.Disposable {
  readonly viewType = PANELS.training;
  readonly bundle = 'training';
  readonly host: PanelHost<TrainingState, OwnIntent>;
  readonly #services: Services;
  readonly #strings = trainingStrings((message) => vscode.l10n.t(message));
  readonly #sources: TrainingSources;
  readonly #learned = new LearnedRuns();
  readonly #subscriptions: vscode.Disposable[];
  #memory: TrainingMemory = { run: null, overlays: [] };

  constructor(services: Services) {
    this.#services = services;
    this.#sources = new TrainingSources(services, this.#strings);
    this.host = new PanelHost<TrainingState, OwnIntent>(services, this);
    const { jobs, runs } = services;
    this.#subscriptions = [
      this.host,
      jobs.onEvent(({ job, event }) => void this.#hear(job, event)),
      jobs.onDidChange((job) => this.#jobChanged(job)),
      runs.onDidChange((dirs) => {
        for (const dir of dirs) {
          this.#sources.forget(dir);
          this.#learned.forget(dir);
        }
        this.host.update();
      }),
    ];
  }

  get title(): string {
    return this.#strings.panel;
  }

  titleOf({ run }: TrainingState): string {
    return run ? `${this.title} · ${run.name} · ${run.bits}` : this.title;
  }

  /** @param run null follows the newest. */
  show(run: string | null): void {
    this.restore({ ...this.#memory, run });
    this.host.show();
  }

  restore(memory: TrainingMemory): void {
    this.#memory = memory;
  }

  parse(message: unknown): TrainingIntent | null {
    return parseIntent(trainingIntentSchema, message);
  }

  async state(): Promise<TrainingState> {
    const run = await this.#shown();
    const overlays = this.#overlays(run);
    this.#sources.retain([...(run ? [run.dir] : []), ...overlays.map(({ dir }) => dir)]);
    return trainingState({
      strings: this.#strings,
      memory: { ...this.#memory, overlays: overlays.map(({ dir }) => dir) },
      shown: run && (await this.#sources.get(run)),
      control: this.#control(run),
      overlays: await Promise.all(overlays.map((overlay) => this.#sources.get(overlay))),
      others: await this.#others(run),
    });
  }

  async act(intent: OwnIntent): Promise<void> {
    const { jobs, runs } = this.#services;
    const run = runs.get(intent.run);
    if (!run) return;
    const job = jobs.all.find(({ runDir, state }) => runDir === run.dir && state === 'running');
    switch (intent.type) {
      case 'pause':
        if (job) await jobs.pause(job.id);
        break;
      case 'cancel':
        if (job) await jobs.cancel(job.id);
        break;
      case 'resume':
        this.#resume(run);
        break;
      case 'overlay':
        this.#overlay(run.dir, intent.shown);
        break;
      case 'open-experiment':
        await showText(run.experimentFile);
        break;
    }
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  /** The queue tells of the end of the job itself: not waited for here. */
  #resume(run: Run): void {
    if (!this.#control(run).resumable) return;
    const request = { kind: 'optimize', experiment: run.experimentFile, runDir: run.dir } as const;
    this.#services.jobs.submit(request).catch((error: unknown) => this.#services.log.error(String(error)));
  }

  #overlay(dir: string, shown: boolean): void {
    const others = this.#memory.overlays.filter((known) => known !== dir);
    const overlays = shown ? [...others, dir].slice(-MAX_OVERLAYS) : others;
    this.#memory = { ...this.#memory, overlays };
  }

  /** What the person chose, which may have no steps; else the newest that has. */
  async #shown(): Promise<Run | null> {
    const { runs } = this.#services;
    const chosen = this.#memory.run === null ? undefined : runs.get(this.#memory.run);
    if (chosen) return chosen;
    const [newest] = await this.#learned.among(runs.list(), 1);
    return newest ?? null;
  }

  #overlays(shown: Run | null): Run[] {
    return this.#memory.overlays
      .filter((dir) => dir !== shown?.dir)
      .map((dir) => this.#services.runs.get(dir))
      .filter((run) => run !== undefined);
  }

  async #others(shown: Run | null): Promise<RunName[]> {
    const { runs } = this.#services;
    const others = runs.list().filter((run) => run.dir !== shown?.dir);
    const offered = await this.#learned.among(others, MAX_CHOICES);
    return offered.map((run) => runName(run, runs.annotation(run.dir), vscode.env.language));
  }

  #control(run: Run | null): RunControl {
    if (!run) return { waiting: false, running: false, resumable: false };
    const own = this.#services.jobs.all.filter(({ runDir }) => runDir === run.dir);
    return {
      waiting: own.some(({ state }) => state === 'waiting'),
      running: own.some(({ state }) => state === 'running'),
      resumable: isResumable(run),
    };
  }

  async #hear(job: Job, event: Parameters<TrainingSources['hear']>[1]): Promise<void> {
    const dir = event.type === 'run-started' ? event.run : job.runDir;
    if (dir !== null && (await this.#sources.hear(dir, event))) this.host.update();
  }

  /** A new optimization takes the panel over: it is what the person wants to see. */
  #jobChanged(job: Job): void {
    if (job.kind === 'optimize' && job.state === 'running' && job.runDir !== null)
      this.#memory = { ...this.#memory, run: job.runDir };
    this.host.update();
  }
}
