import { existsSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { SITES } from '../../../protocol/block.ts';
import { COMMANDS } from '../../../protocol/ids.ts';
import type { Notice, OwnIntent, Problem } from '../../../protocol/panels/common.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import {
  type LayersIntent,
  type LayersMemory,
  type LayersState,
  layersIntentSchema,
  layersMemorySchema,
} from '../../../protocol/panels/layers.ts';
import { layersStrings } from '../../../protocol/panels/layers-strings.ts';
import type { Run } from '../../../runs/index.ts';
import type { ExceptionInput } from '../../experiments/exceptions-text.ts';
import { putExceptions } from '../../experiments/put-exceptions.ts';
import { runDirOf } from '../../runs/choose.ts';
import type { Services } from '../../services.ts';
import { translate } from '../../words.ts';
import { AbsentRun } from '../absent.ts';
import { modelName } from '../names.ts';
import { Panel } from '../panel.ts';
import { exceptionOf } from './attribution.ts';
import { type LayersSource, layersState } from './state.ts';

type Measured = Pick<LayersSource, 'activations' | 'attribution' | 'quantization' | 'rotation' | 'model'>;

/** What a run must have to be shown, the first before the second. */
const FILES = ['activations', 'attribution'] as const;
const isThere = (run: Run, file: (typeof FILES)[number]): boolean => existsSync(run.path(file));

const NO_ACTIVATIONS = { sites: [] } as const;

/** The layers panel: which run, layer and site it shows. */
export class LayersPanel extends Panel<LayersState, LayersIntent, LayersMemory> {
  /** The files last read, of the run and the one beside it: tens of megabytes for a large model, so no others are kept. */
  readonly #cache = new Map<string, { readonly key: string; readonly measured: Measured }>();
  readonly #absent = new AbsentRun();
  #shown: Run | null = null;
  /** What is shown: a choice of one keeps the other. */
  #place: Pick<LayersMemory, 'layer' | 'site'> = { layer: null, site: null };

  constructor(services: Services) {
    super(services, {
      name: 'layers',
      strings: layersStrings(translate),
      intents: layersIntentSchema,
      memories: layersMemorySchema,
      memory: { run: null, experiment: null, layer: null, site: null, other: null },
    });
  }

  override titleOf({ run, detail }: LayersState): string {
    if (!run) return this.title;
    if (!detail) return [this.title, run.title].join(' · ');
    const { layerNumber, sites } = this.strings;
    return [this.title, run.title, fill(layerNumber, detail.layer), sites[detail.site]].join(' · ');
  }

  protected override choice([given, layer, place]: readonly unknown[]): Partial<LayersMemory> {
    this.#absent.forget();
    const run = runDirOf(given);
    const site = SITES.find((one) => one === place);
    return {
      // Without a run it follows the newest of the experiment in front.
      ...(run === null ? { run, experiment: this.services.experiments.active } : { run }),
      ...(typeof layer === 'number' && { layer }),
      ...(site !== undefined && { site }),
    };
  }

  async state(): Promise<LayersState> {
    const measured = this.services.runs.list().filter((run) => FILES.some((file) => isThere(run, file)));
    const notice = this.#notice(measured);
    const run = notice === null ? this.#chosen(measured) : null;
    this.#shown = run;
    if (run !== null) this.#absent.keep(this.nameOf(run));
    for (const dir of this.#cache.keys())
      if (dir !== run?.dir && dir !== this.memory.other) this.#cache.delete(dir);
    const { shown, problem } = run ? await this.#read(run) : { shown: null, problem: null };
    const state = layersState({
      strings: this.strings,
      memory: this.memory,
      runs: measured.map((one) => this.nameOf(one)),
      shown: run && shown && { ...shown, name: this.nameOf(run) },
      other: run && (await this.#other(run, measured)),
      problem,
      notice,
    });
    this.#place = state.detail ?? this.#place;
    return state;
  }

  async act(intent: OwnIntent<LayersIntent>): Promise<void> {
    switch (intent.type) {
      case 'run':
        if (this.services.runs.get(intent.run)) this.memory = { ...this.memory, run: intent.run };
        break;
      case 'site':
        this.memory = { ...this.memory, layer: this.#place.layer, site: intent.site };
        break;
      case 'place':
        this.memory = { ...this.memory, layer: intent.layer, site: intent.site };
        break;
      case 'attribute':
        await vscode.commands.executeCommand(COMMANDS.attribute, this.#shown?.dir);
        break;
      case 'except':
        await this.#except([exceptionOf(intent)]);
        break;
      case 'use-point':
        await this.#except((await this.#shown?.readAttribution())?.curve?.[intent.point]?.exceptions ?? []);
        break;
      case 'other':
        this.memory = { ...this.memory, other: intent.run };
        break;
      case 'layer':
        this.memory = { ...this.memory, site: this.#place.site, layer: intent.layer };
        break;
    }
  }

  /** Into the experiment of the run shown. */
  async #except(exceptions: readonly ExceptionInput[]): Promise<void> {
    if (this.#shown && exceptions.length > 0)
      await putExceptions(this.services.experiments, this.#shown.experimentFile, exceptions);
  }

  /** The run beside it, if it is still there and can be read. */
  async #other(shown: Run, measured: readonly Run[]): Promise<LayersSource | null> {
    const { other } = this.memory;
    const run = measured.find(({ dir }) => dir === other && dir !== shown.dir);
    if (run === undefined) return null;
    const { shown: read } = await this.#read(run);
    return read && { ...read, name: this.nameOf(run) };
  }

  #chosen(measured: readonly Run[]): Run | null {
    const { run, experiment } = this.memory;
    if (run !== null) return measured.find(({ dir }) => dir === run) ?? null;
    const own = measured.filter(({ experimentFile }) => experiment === null || experimentFile === experiment);
    return own.find((one) => isThere(one, 'activations')) ?? own[0] ?? null;
  }

  /** A run was chosen that cannot be shown: another one in its place would pass for it. */
  #notice(measured: readonly Run[]): Notice | null {
    const { run: dir } = this.memory;
    const { runs } = this.services;
    if (dir === null) return this.#absent.noticeBefore(this.#chosen(measured), runs, this.strings.absent);
    const absent = this.#absent.notice(dir, runs, this.strings.absent);
    const run = runs.get(dir);
    if (absent !== null || run === undefined || measured.some((one) => one.dir === dir)) return absent;
    const title = fill(this.strings.notMeasured, this.nameOf(run).name);
    return { kind: 'problem', title, text: this.strings.notMeasuredText };
  }

  async #read(run: Run): Promise<{ shown: Measured | null; problem: Problem | null }> {
    try {
      const times = FILES.map((file) => statSync(run.path(file), { throwIfNoEntry: false })?.mtimeMs);
      const key = [run.dir, ...times].join(' ');
      const known = this.#cache.get(run.dir);
      if (known?.key === key) return { shown: known.measured, problem: null };
      const [activations, attribution, experiment] = await Promise.all([
        isThere(run, 'activations') ? run.readActivations() : NO_ACTIVATIONS,
        isThere(run, 'attribution') ? run.readAttribution() : null,
        run.readExperiment(),
      ]);
      const { quantization, rotation, model } = experiment;
      const measured = { activations, attribution, quantization, rotation, model: modelName(run, model) };
      this.#cache.set(run.dir, { key, measured });
      return { shown: measured, problem: null };
    } catch (error) {
      return { shown: null, problem: this.problemOf(error) };
    }
  }
}
