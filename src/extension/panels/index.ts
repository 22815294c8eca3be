import * as vscode from 'vscode';
import { PANEL_NAMES, PANELS, type PanelName } from '../../protocol/panels/registry.ts';
import { Disposables } from '../disposables.ts';
import type { Services } from '../services.ts';

interface AnyPanel extends vscode.Disposable {
  /** @param given the arguments of the panel's command, not checked yet. */
  show(...given: readonly unknown[]): void;
  restore(panel: vscode.WebviewPanel, kept: unknown): void;
}

/** The code of each panel, evaluated when the panel is first asked for. */
const LOADERS: Readonly<Record<PanelName, () => Promise<new (services: Services) => AnyPanel>>> = {
  training: async () => (await import('./training/panel.ts')).TrainingPanel,
  layers: async () => (await import('./layers/panel.ts')).LayersPanel,
  results: async () => (await import('./results/panel.ts')).ResultsPanel,
  generate: async () => (await import('./generate/panel.ts')).GeneratePanel,
};

/**
 * The commands of the panels, and the serializers that bring panels back after a reload. Activation does not wait for
 * the panels, whether or not the window had some open.
 */
export function registerPanels(services: Services): vscode.Disposable {
  const disposables = new Disposables();
  for (const name of PANEL_NAMES) {
    let loading: Promise<AnyPanel> | null = null;
    const load = (): Promise<AnyPanel> => {
      loading ??= LOADERS[name]().then((Panel) => disposables.add(new Panel(services)));
      return loading;
    };
    const { command, viewType } = PANELS[name];
    disposables.add(
      vscode.commands.registerCommand(command, async (...given: unknown[]) => (await load()).show(...given)),
    );
    disposables.add(
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel, kept: unknown) => (await load()).restore(panel, kept),
      }),
    );
  }
  return disposables;
}
