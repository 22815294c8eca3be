import * as vscode from 'vscode';
import type { RunEvent } from '../../../protocol/events.ts';
import { COMMANDS, EXPERIMENT_SUFFIX } from '../../../protocol/ids.ts';
import type { Notice, OwnIntent } from '../../../protocol/panels/common.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import {
  type StepColumns,
  type TrainingIntent,
  type TrainingMemory,
  type TrainingState,
  trainingIntentSchema,
  trainingMemorySchema,
} from '../../../protocol/panels/training.ts';
import { SMOOTHING } from '../../../protocol/panels/training-limits.ts';
import { trainingStrings } from '../../../protocol/panels/training-strings.ts';
import { isResumable, type Run } from '../../../runs/index.ts';
import { runDirOf } from '../../runs/choose.ts';
import type { Job, Services } from '../../services.ts';
import { experimentName, translate } from '../../words.ts';
import { AbsentRun } from '../absent.ts';
import { showText } from '../groups.ts';
import { Panel } from '../panel.ts';
import { rowsFrom, rowsKept } from './history.ts';
import { LearnedRuns } from './learned.ts';
import { chooseOverlays, MAX_OVERLAYS } from './overlays.ts';
import { TrainingSources } from './sources.ts';
import { type RunControl, runControl, trainingState } from './state.ts';

/** The training panel: which runs it shows, and what its buttons do. */
export class TrainingPanel extends Panel<TrainingState, TrainingIntent, TrainingMemory> {
  readonly #sources: TrainingSources;
  readonly #learned = new LearnedRuns();
  /** The experiment whose start is shown, until there is a run. */
  #started: string | null = null;
  readonly #absent = new AbsentRun();
  /** The curves that the page has, by run. */
  #sent = new Map<string, StepColumns>();

  constructor(services: Services) {
    super(services, {
      name: 'training',
      strings: trainingStrings(translate),
      intents: trainingIntentSchema,
      memories: trainingMemorySchema,
      memory: { run: null, experiment: null, overlays: [], smoothing: SMOOTHING.usual },
    });
    this.#sources = new TrainingSources(services, this.strings);
    this.own(services.jobs.onEvent(({ job, event }) => void this.#hear(job, event)));
    this.own(services.jobs.onDidChange((job) => this.#jobChanged(job)));
  }

  override titleOf({ run }: TrainingState): string {
    return run ? `${this.title} · ${run.title}` : this.title;
  }

  /** Without a run it follows the newest of the experiment in front. An experiment given is one that was just started. */
  protected override choice([given]: readonly unknown[]): Partial<TrainingMemory> {
    this.#absent.forget();
    const path = runDirOf(given);
    const isStart = path?.endsWith(EXPERIMENT_SUFFIX) ?? false;
    this.#started = isStart ? path : null;
    if (path !== null && !isStart) return { run: path };
    return { run: null, experiment: this.#started ?? this.services.experiments.active };
  }

  protected override runsChanged(dirs: readonly string[]): void {
    for (const dir of dirs) {
      this.#sources.forget(dir);
      this.#learned.forget(dir);
    }
    this.update();
  }

  /** Shows a run, open or not. */
  follow(run: string): void {
    this.#started = null;
    this.memory = { ...this.memory, run };
  }

  async state(): Promise<TrainingState> {
    const { runs } = this.services;
    const { absent } = this.strings;
    const found = this.#absent.notice(this.memory.run, runs, absent) ?? this.#start();
    const newest = found === null ? await this.#shown() : null;
    const isFollowed = found === null && this.memory.run === null;
    const notice = isFollowed ? this.#absent.noticeBefore(newest, runs, absent) : found;
    const run = notice === null ? newest : null;
    if (run !== null) this.#absent.keep(this.nameOf(run));
    const overlays = this.#overlays(run);
    this.#sources.retain([...(run ? [run.dir] : []), ...overlays.map(({ dir }) => dir)]);
    return trainingState({
      strings: this.strings,
      memory: { ...this.memory, overlays: overlays.map(({ dir }) => dir) },
      shown: run && (await this.#sources.get(run)),
      notice,
      control: this.#control(run),
      overlays: await Promise.all(overlays.map((overlay) => this.#sources.get(overlay))),
      canAdd: overlays.length < MAX_OVERLAYS && (await this.#canAdd(run, overlays)),
    });
  }

  /** Curves grow at their ends: the page keeps the rows that it has. */
  override wire(state: TrainingState): TrainingState {
    const before = this.#sent;
    this.#sent = new Map(state.curves.map(({ dir, steps }) => [dir, steps]));
    return {
      ...state,
      curves: state.curves.map((curve) => {
        const kept = rowsKept(before.get(curve.dir), curve.steps);
        return { ...curve, kept, steps: rowsFrom(curve.steps, kept) };
      }),
    };
  }

  override unsent(): void {
    this.#sent.clear();
  }

  async act(intent: OwnIntent<TrainingIntent>): Promise<void> {
    const { jobs, runs } = this.services;
    if (intent.type === 'smooth') this.memory = { ...this.memory, smoothing: intent.steps };
    if (intent.type === 'add') await this.#add();
    if (intent.type === 'smooth' || intent.type === 'add') return;
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
      case 'remove':
        this.#overlay(this.memory.overlays.filter((dir) => dir !== intent.run));
        break;
      case 'open-experiment':
        await showText(run.experimentFile);
        break;
    }
  }

  /** Of a cell, its table goes on. The queue tells of the end of the job itself: not waited for here. */
  #resume(run: Run): void {
    if (this.#control(run).resumable) void vscode.commands.executeCommand(COMMANDS.resume, run.dir);
  }

  #overlay(overlays: readonly string[]): void {
    this.memory = { ...this.memory, overlays: overlays.slice(0, MAX_OVERLAYS) };
  }

  async #add(): Promise<void> {
    const shown = await this.#shown();
    const others = this.services.runs.list().filter(({ dir }) => dir !== shown?.dir);
    const learned = await this.#learned.among(others, others.length);
    const chosen = await chooseOverlays(learned, this.memory.overlays, this.services.runs);
    if (chosen !== null) this.#overlay(chosen);
  }

  /** The person's choice, which may have no steps; else the newest that has. */
  async #shown(): Promise<Run | null> {
    const { runs } = this.services;
    const { run, experiment } = this.memory;
    const chosen = run === null ? undefined : runs.get(run);
    if (chosen) return chosen;
    const own = experiment === null ? runs.list() : runs.ofExperiment(experiment);
    const [newest] = await this.#learned.among(own, 1);
    return newest ?? null;
  }

  /** A start without a run yet: an older run would pass for it. */
  #start(): Notice | null {
    const file = this.#started;
    if (file === null || this.memory.run !== null) return null;
    const job = this.services.jobs.all.findLast(
      ({ kind, experiment }) => kind === 'optimize' && experiment === file,
    );
    if (job === undefined || job.runDir !== null) return null;
    const name = experimentName(file);
    const { starting, startingText, waiting, notStarted } = this.strings;
    if (job.state === 'running') return { kind: 'work', title: `${name}: ${starting}`, text: startingText };
    if (job.state === 'waiting') return { kind: 'work', title: name, text: waiting };
    return { kind: 'problem', title: fill(notStarted, name), text: job.message ?? '' };
  }

  #overlays(shown: Run | null): Run[] {
    return this.memory.overlays
      .filter((dir) => dir !== shown?.dir)
      .map((dir) => this.services.runs.get(dir))
      .filter((run) => run !== undefined);
  }

  async #canAdd(shown: Run | null, overlays: readonly Run[]): Promise<boolean> {
    const others = this.services.runs
      .list()
      .filter((run) => run.dir !== shown?.dir && !overlays.includes(run));
    return (await this.#learned.among(others, 1)).length > 0;
  }

  #control(run: Run | null): RunControl {
    if (!run) return { waiting: false, running: false, resumable: false };
    const own = this.services.jobs.all.filter(({ runDir }) => runDir === run.dir);
    return runControl(
      own.map(({ state }) => state),
      isResumable(run),
    );
  }

  async #hear(job: Job, event: RunEvent): Promise<void> {
    const dir = event.type === 'run-started' ? event.run : job.runDir;
    if (dir !== null && (await this.#sources.hear(dir, event))) this.update();
  }

  /** A new optimization takes the panel over: it is what the person wants to see. */
  #jobChanged(job: Job): void {
    if (job.kind === 'optimize' && job.state === 'running' && job.runDir !== null) this.follow(job.runDir);
    this.update();
  }
}
