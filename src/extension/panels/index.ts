import * as vscode from 'vscode';
import type { z } from 'zod';
import { COMMANDS, PANELS } from '../../protocol/ids.ts';
import { runDirSchema } from '../../protocol/panels/common.ts';
import { layersMemorySchema, SITES } from '../../protocol/panels/layers.ts';
import { resultsMemorySchema } from '../../protocol/panels/results.ts';
import { trainingMemorySchema } from '../../protocol/panels/training.ts';
import type { Services } from '../services.ts';
import { LayersPanel } from './layers/panel.ts';
import type { PanelHost } from './panel-host.ts';
import { ResultsPanel } from './results/panel.ts';
import { TrainingPanel } from './training/panel.ts';

/**
 * The three panels, their commands and what brings them back after a reload.
 * Commands: `showTraining(runDir?)`, `showLayers(runDir?, layer?, site?)`, `showResults(runDirs?)`; an argument that is
 * not what it should be is taken as left out.
 */
export function registerPanels(services: Services): vscode.Disposable {
  const training = new TrainingPanel(services);
  const layers = new LayersPanel(services);
  const results = new ResultsPanel(services);
  return vscode.Disposable.from(
    training,
    layers,
    results,
    vscode.commands.registerCommand(COMMANDS.showTraining, (run: unknown) => training.show(runOf(run))),
    vscode.commands.registerCommand(COMMANDS.showLayers, (run: unknown, layer: unknown, site: unknown) =>
      layers.show({
        ...(runOf(run) !== null && { run: runOf(run) }),
        ...(typeof layer === 'number' && { layer }),
        ...(isSite(site) && { site }),
      }),
    ),
    vscode.commands.registerCommand(COMMANDS.showResults, (selected: unknown) =>
      results.show(Array.isArray(selected) ? selected.map(runOf).filter((dir) => dir !== null) : null),
    ),
    serializer(PANELS.training, trainingMemorySchema, training),
    serializer(PANELS.layers, layersMemorySchema, layers),
    serializer(PANELS.results, resultsMemorySchema, results),
  );
}

interface Restorable<Memory> {
  readonly host: Pick<PanelHost<never, never>, 'adopt'>;
  restore(memory: Memory): void;
}

/** After a reload VS Code hands back the panel and what its webview kept; a memory that is damaged is forgotten. */
function serializer<Memory>(
  viewType: string,
  schema: z.ZodType<Memory>,
  panel: Restorable<Memory>,
): vscode.Disposable {
  return vscode.window.registerWebviewPanelSerializer(viewType, {
    async deserializeWebviewPanel(webviewPanel: vscode.WebviewPanel, kept: unknown): Promise<void> {
      const memory = schema.safeParse((kept as { remembered?: unknown } | null | undefined)?.remembered);
      if (memory.success) panel.restore(memory.data);
      panel.host.adopt(webviewPanel);
    },
  });
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
