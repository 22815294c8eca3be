import { existsSync, statSync } from 'node:fs';
import { SITES } from '../../../protocol/block.ts';
import type { OwnIntent, Problem } from '../../../protocol/panels/common.ts';
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
import { runDirOf } from '../../runs/choose.ts';
import type { Services } from '../../services.ts';
import { translate } from '../../words.ts';
import { modelName } from '../names.ts';
import { Panel } from '../panel.ts';
import { type LayersSource, layersState } from './state.ts';

type Measured = Pick<LayersSource, 'activations' | 'quantization' | 'rotation' | 'model'>;

/** The layers panel: which run, layer and site it shows. */
export class LayersPanel extends Panel<LayersState, LayersIntent, LayersMemory> {
  /** The file last read: tens of megabytes for a large model, so only one is kept. */
  #cache: { readonly key: string; readonly measured: Measured } | null = null;

  constructor(services: Services) {
    super(services, {
      name: 'layers',
      strings: layersStrings(translate),
      intents: layersIntentSchema,
      memories: layersMemorySchema,
      memory: { run: null, layer: null, site: null },
    });
  }

  override titleOf({ run, detail }: LayersState): string {
    if (!run || !detail) return this.title;
    const { layerNumber, sites } = this.strings;
    return [this.title, run.title, fill(layerNumber, detail.layer), sites[detail.site]].join(' · ');
  }

  protected override choice([given, layer, place]: readonly unknown[]): Partial<LayersMemory> {
    const run = runDirOf(given);
    const site = SITES.find((one) => one === place);
    return {
      ...(run !== null && { run }),
      ...(typeof layer === 'number' && { layer }),
      ...(site !== undefined && { site }),
    };
  }

  async state(): Promise<LayersState> {
    const measured = this.services.runs.list().filter((run) => existsSync(run.path('activations')));
    const run = measured.find(({ dir }) => dir === this.memory.run) ?? measured[0] ?? null;
    const { shown, problem } = run ? await this.#read(run) : { shown: null, problem: null };
    return layersState({
      strings: this.strings,
      memory: this.memory,
      runs: measured.map((one) => this.nameOf(one)),
      shown: run && shown && { ...shown, name: this.nameOf(run) },
      problem,
    });
  }

  async act(intent: OwnIntent<LayersIntent>): Promise<void> {
    switch (intent.type) {
      case 'run':
        if (this.services.runs.get(intent.run)) this.memory = { ...this.memory, run: intent.run };
        break;
      case 'site':
        this.memory = { ...this.memory, site: intent.site };
        break;
      case 'layer':
        this.memory = { ...this.memory, layer: intent.layer };
        break;
    }
  }

  async #read(run: Run): Promise<{ shown: Measured | null; problem: Problem | null }> {
    try {
      const key = `${run.dir} ${statSync(run.path('activations')).mtimeMs}`;
      if (this.#cache?.key !== key) {
        const [activations, experiment] = await Promise.all([run.readActivations(), run.readExperiment()]);
        const { quantization, rotation, model } = experiment;
        this.#cache = {
          key,
          measured: { activations, quantization, rotation, model: modelName(run, model) },
        };
      }
      return { shown: this.#cache.measured, problem: null };
    } catch (error) {
      return { shown: null, problem: this.problemOf(error) };
    }
  }
}
