import { existsSync, statSync } from 'node:fs';
import * as vscode from 'vscode';
import { messageOf, UserError } from '../../../protocol/errors.ts';
import { PANELS } from '../../../protocol/ids.ts';
import { type Problem, parseIntent } from '../../../protocol/panels/common.ts';
import {
  type LayersIntent,
  type LayersMemory,
  type LayersState,
  layersIntentSchema,
} from '../../../protocol/panels/layers.ts';
import { layersStrings } from '../../../protocol/panels/layers-strings.ts';
import type { Run } from '../../../runs/index.ts';
import type { Services } from '../../services.ts';
import { modelName, runName } from '../names.ts';
import { PanelHost, type PanelView } from '../panel-host.ts';
import { type LayersSource, layersState } from './state.ts';

type OwnIntent = Exclude<LayersIntent, { type: 'ready' | 'begin' }>;
type Measured = Pick<LayersSource, 'activations' | 'quantization' | 'model'>;

/** The layers panel: which run, layer and site it shows. */
export class LayersPanel implements PanelView<LayersState, OwnIntent>, vscode.Disposable {
  readonly viewType = PANELS.layers;
  readonly bundle = 'layers';
  readonly host: PanelHost<LayersState, OwnIntent>;
  readonly #services: Services;
  readonly #strings = layersStrings((message) => vscode.l10n.t(message));
  readonly #subscriptions: vscode.Disposable[];
  #memory: LayersMemory = { run: null, layer: null, site: null };
  /** The file last read: tens of megabytes for a large model, so only one is kept. */
  #cache: { readonly key: string; readonly measured: Measured } | null = null;

  constructor(services: Services) {
    this.#services = services;
    this.host = new PanelHost<LayersState, OwnIntent>(services, this);
    this.#subscriptions = [this.host, services.runs.onDidChange(() => this.host.update())];
  }

  get title(): string {
    return this.#strings.panel;
  }

  titleOf({ detail }: LayersState): string {
    if (!detail) return this.title;
    const { layerNumber, sites } = this.#strings;
    return `${this.title} · ${layerNumber.replace('{0}', String(detail.layer))} · ${sites[detail.site]}`;
  }

  /** What is left out stays as it was. */
  show(choice: Partial<LayersMemory>): void {
    this.restore({ ...this.#memory, ...choice });
    this.host.show();
  }

  restore(memory: LayersMemory): void {
    this.#memory = memory;
  }

  parse(message: unknown): LayersIntent | null {
    return parseIntent(layersIntentSchema, message);
  }

  async state(): Promise<LayersState> {
    const measured = this.#services.runs.list().filter((run) => existsSync(run.path('activations')));
    const run = measured.find(({ dir }) => dir === this.#memory.run) ?? measured[0] ?? null;
    const { shown, problem } = run ? await this.#read(run) : { shown: null, problem: null };
    return layersState({
      strings: this.#strings,
      memory: this.#memory,
      runs: measured.map((one) => this.#name(one)),
      shown: run && shown && { ...shown, name: this.#name(run) },
      problem,
    });
  }

  async act(intent: OwnIntent): Promise<void> {
    switch (intent.type) {
      case 'run':
        if (this.#services.runs.get(intent.run)) this.#memory = { ...this.#memory, run: intent.run };
        break;
      case 'site':
        this.#memory = { ...this.#memory, site: intent.site };
        break;
      case 'layer':
        this.#memory = { ...this.#memory, layer: intent.layer };
        break;
    }
  }

  dispose(): void {
    for (const subscription of this.#subscriptions) subscription.dispose();
  }

  #name(run: Run) {
    return runName(run, this.#services.runs.annotation(run.dir), vscode.env.language);
  }

  async #read(run: Run): Promise<{ shown: Measured | null; problem: Problem | null }> {
    try {
      const key = `${run.dir} ${statSync(run.path('activations')).mtimeMs}`;
      if (this.#cache?.key !== key) {
        const [activations, experiment] = await Promise.all([run.readActivations(), run.readExperiment()]);
        const { quantization, model } = experiment;
        this.#cache = { key, measured: { activations, quantization, model: modelName(run, model) } };
      }
      return { shown: this.#cache.measured, problem: null };
    } catch (error) {
      const hint = error instanceof UserError ? error.hint : '';
      if (!(error instanceof UserError)) this.#services.log.error(messageOf(error));
      return { shown: null, problem: { message: messageOf(error), hint } };
    }
  }
}
