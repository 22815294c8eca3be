import { basename } from 'node:path';
import { Cancelled } from '../../../protocol/errors.ts';
import type { OwnIntent, Problem, RunName } from '../../../protocol/panels/common.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import {
  type GenerateIntent,
  type GenerateMemory,
  type GenerateSettings,
  type GenerateState,
  generateIntentSchema,
  generateMemorySchema,
} from '../../../protocol/panels/generate.ts';
import { MOST_RUNS } from '../../../protocol/panels/generate-limits.ts';
import { generateStrings } from '../../../protocol/panels/generate-strings.ts';
import type { Run } from '../../../runs/index.ts';
import { experimentOverrides } from '../../jobs/launch.ts';
import { pickRunAmong, runDirOf } from '../../runs/choose.ts';
import { isPlain } from '../../runs/summaries.ts';
import type { Services } from '../../services.ts';
import { translate } from '../../words.ts';
import { Panel } from '../panel.ts';
import { Comparison } from './comparison.ts';
import { comparable, deletedName, generateState } from './state.ts';

/** A model of stories, or any other, has something to say to it. */
const FIRST_PROMPT = 'Once upon a time';
const FIRST_SETTINGS: GenerateSettings = {
  ...{ prompt: FIRST_PROMPT, tokens: 64, temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  ...{ seed: 0, stop: '', chat: false },
};

/** The panel of generated text: which runs are compared, and the text that they write. */
export class GeneratePanel extends Panel<GenerateState, GenerateIntent, GenerateMemory> {
  #comparison: Comparison | null = null;
  /** Stops what is being written; null where nothing is. */
  #controller: AbortController | null = null;
  #problem: Problem | null = null;
  /** Of runs that were shown, by their folders. */
  readonly #names = new Map<string, RunName>();
  /** Folders of runs without any rotation, among those that were looked at. */
  readonly #unrotated = new Set<string>();
  #next = 1;

  constructor(services: Services) {
    super(services, {
      name: 'generate',
      strings: generateStrings(translate),
      intents: generateIntentSchema,
      memories: generateMemorySchema,
      memory: { runs: null, settings: FIRST_SETTINGS },
    });
    this.own(services.jobs.onDidChange(() => this.#giveWay()));
    this.own({ dispose: () => this.#controller?.abort() });
  }

  /** A run, or some; views tell all that are selected as the second argument. */
  protected override choice([given, selected]: readonly unknown[]): Partial<GenerateMemory> {
    const items = Array.isArray(selected) && selected.length > 0 ? selected : given;
    const dirs = (Array.isArray(items) ? items : [items]).map(runDirOf).filter((dir) => dir !== null);
    return dirs.length > 0 ? { runs: dirs.slice(0, MOST_RUNS) } : {};
  }

  async state(): Promise<GenerateState> {
    const { runs } = this.services;
    await this.#lookForRotations();
    const named = (dirs: readonly string[]) => dirs.map((dir) => this.#named(dir));
    return generateState({
      strings: this.strings,
      memory: this.memory,
      hasRuns: runs.list().length > 0,
      chosen: named(this.#chosen()),
      comparison: this.#comparison,
      names: named(this.#comparison?.runs ?? []),
      unrotated: this.#unrotated,
      running: this.#controller !== null,
      problem: this.#problem,
    });
  }

  async act(intent: OwnIntent<GenerateIntent>): Promise<void> {
    switch (intent.type) {
      case 'generate':
        this.memory = { ...this.memory, settings: intent.settings };
        this.#start(intent.settings);
        break;
      case 'stop':
        this.#controller?.abort();
        break;
      case 'add-run':
        await this.#add();
        break;
      case 'remove-run':
        this.#choose(this.#chosen().filter((dir) => dir !== intent.run));
        break;
    }
  }

  /** Looks at the runs that are shown, and for the first one: what is written without rotations is seldom wanted first. */
  async #lookForRotations(): Promise<void> {
    const { runs, summaries } = this.services;
    const isRotated = async (run: Run): Promise<boolean> => {
      const isUnrotated = isPlain(await summaries.of(run));
      if (isUnrotated) this.#unrotated.add(run.dir);
      return !isUnrotated;
    };
    for (const dir of this.#comparison?.runs ?? []) {
      const run = runs.get(dir);
      if (run) await isRotated(run);
    }
    if (this.memory.runs) return;
    for (const run of this.#finished()) if (await isRotated(run)) return;
  }

  #named(dir: string): RunName {
    const run = this.services.runs.get(dir);
    if (run) this.#names.set(dir, this.nameOf(run));
    const unknown = { dir, name: basename(dir), title: basename(dir), bits: '', startedAt: '' };
    const name = this.#names.get(dir) ?? unknown;
    return run ? name : deletedName(name, this.strings);
  }

  #finished(): readonly Run[] {
    return this.services.runs.list().filter(({ record }) => record.status === 'finished');
  }

  /** Those the person chose, as far as they are there; at first the newest with rotations that finished. */
  #chosen(): readonly string[] {
    const { runs } = this.services;
    if (this.memory.runs) return this.memory.runs.filter((dir) => runs.get(dir) !== undefined);
    const finished = this.#finished();
    const first = finished.find(({ dir }) => !this.#unrotated.has(dir)) ?? finished[0];
    return first ? [first.dir] : [];
  }

  #choose(runs: readonly string[]): void {
    this.memory = { ...this.memory, runs: [...runs] };
    this.#problem = null;
  }

  async #add(): Promise<void> {
    const chosen = this.#chosen();
    const { tooMany, noMore, chooseRun } = this.strings;
    if (chosen.length >= MOST_RUNS) {
      this.#problem = { message: fill(tooMany.message, MOST_RUNS), hint: tooMany.hint };
      return;
    }
    const others = comparable(this.services.runs.list(), chosen);
    if (others.length === 0) {
      this.#problem = noMore;
      return;
    }
    const dir = await pickRunAmong(others, this.services.runs, chooseRun);
    if (dir !== null) this.#choose([...chosen, dir]);
  }

  #start(settings: GenerateSettings): void {
    if (this.#controller) return;
    const runs = this.#chosen();
    this.#problem = this.#objection(settings, runs);
    if (!this.#problem) void this.#compare(settings, runs);
  }

  #objection({ prompt }: GenerateSettings, runs: readonly string[]): Problem | null {
    if (prompt.trim() === '') return this.strings.noPrompt;
    if (runs.length === 0) return this.strings.noRun;
    return this.services.jobs.running ? this.strings.busy : null;
  }

  /** Shows what comes as it comes. Does not reject. */
  async #compare(settings: GenerateSettings, runs: readonly string[]) {
    const controller = new AbortController();
    const comparison = new Comparison(settings.prompt, runs);
    this.#controller = controller;
    this.#comparison = comparison;
    // All are computed together: where the folders of their experiments differ, the first run's decides.
    const { device } = experimentOverrides(this.services.runs.get(runs[0] ?? '')?.experimentFile ?? null);
    const params = { job: `text-${this.#next++}`, runs, ...settings, device };
    try {
      await this.services.compareText(
        params,
        (events) => {
          comparison.hear(events);
          this.update();
        },
        controller.signal,
      );
    } catch (error) {
      if (!(error instanceof Cancelled)) this.#problem = this.problemOf(error);
    }
    comparison.stop();
    this.#controller = null;
    this.update();
  }

  /** A job that begins gets the whole machine, and the whole worker. */
  #giveWay(): void {
    if (!this.#controller || !this.services.jobs.running) return;
    this.#controller.abort();
    this.#problem = this.strings.interrupted;
  }
}
