import * as vscode from 'vscode';
import type { z } from 'zod';
import type { PANELS } from '../../protocol/ids.ts';
import { runDirSchema } from '../../protocol/panels/common.ts';
import { layersMemorySchema, SITES } from '../../protocol/panels/layers.ts';
import { resultsMemorySchema } from '../../protocol/panels/results.ts';
import { trainingMemorySchema } from '../../protocol/panels/training.ts';
import type { Services } from '../services.ts';
import { LayersPanel } from './layers/panel.ts';
import type { PanelHost } from './panel-host.ts';
import { ResultsPanel } from './results/panel.ts';
import { TrainingPanel } from './training/panel.ts';

export type PanelName = keyof typeof PANELS;

/** The three panels. What commands are given and what webviews kept is checked here; what is not as it should be is taken as left out. */
export class Panels implements vscode.Disposable {
  readonly #training: TrainingPanel;
  readonly #layers: LayersPanel;
  readonly #results: ResultsPanel;

  constructor(services: Services) {
    this.#training = new TrainingPanel(services);
    this.#layers = new LayersPanel(services);
    this.#results = new ResultsPanel(services);
  }

  showTraining(run: unknown): void {
    this.#training.show(runOf(run));
  }

  showLayers(run: unknown, layer: unknown, site: unknown): void {
    const dir = runOf(run);
    this.#layers.show({
      ...(dir !== null && { run: dir }),
      ...(typeof layer === 'number' && { layer }),
      ...(isSite(site) && { site }),
    });
  }

  /** @param selected run folders to compare. */
  showResults(selected: unknown): void {
    this.#results.show(Array.isArray(selected) ? selected.map(runOf).filter((dir) => dir !== null) : null);
  }

  /** After a reload VS Code hands back the panel and what its webview kept. */
  restore(name: PanelName, webviewPanel: vscode.WebviewPanel, kept: unknown): void {
    switch (name) {
      case 'training':
        restore(this.#training, trainingMemorySchema, webviewPanel, kept);
        break;
      case 'layers':
        restore(this.#layers, layersMemorySchema, webviewPanel, kept);
        break;
      case 'results':
        restore(this.#results, resultsMemorySchema, webviewPanel, kept);
        break;
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.#training, this.#layers, this.#results).dispose();
  }
}

interface Restorable<Memory> {
  readonly host: Pick<PanelHost<never, never>, 'adopt'>;
  restore(memory: Memory): void;
}

/** A memory that is damaged is forgotten. */
function restore<Memory>(
  panel: Restorable<Memory>,
  schema: z.ZodType<Memory>,
  webviewPanel: vscode.WebviewPanel,
  kept: unknown,
): void {
  const memory = schema.safeParse((kept as { remembered?: unknown } | null | undefined)?.remembered);
  if (memory.success) panel.restore(memory.data);
  panel.host.adopt(webviewPanel);
}

/** A run folder: its path, or something of ours that has one, such as a tree item. */
function runOf(value: unknown): string | null {
  const dir = (value as { runDir?: unknown } | null | undefined)?.runDir ?? value;
  const result = runDirSchema.safeParse(dir);
  return result.success ? result.data : null;
}

function isSite(value: unknown): value is (typeof SITES)[number] {
  return SITES.some((site) => site === value);
}
