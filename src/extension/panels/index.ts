import * as vscode from 'vscode';
import { COMMANDS, PANELS } from '../../protocol/ids.ts';
import { Disposables } from '../disposables.ts';
import type { Services } from '../services.ts';
import type { PanelName, Panels } from './panels.ts';

/**
 * The commands of the panels and what brings them back after a reload. Neither needs the panels before it is called:
 * activation does not wait for them, whether or not the window had some open.
 */
export function registerPanels(services: Services): vscode.Disposable {
  const disposables = new Disposables();
  let loading: Promise<Panels> | null = null;
  const load = (): Promise<Panels> => {
    loading ??= import('./panels.ts').then(({ Panels }) => disposables.add(new Panels(services)));
    return loading;
  };
  const command = (id: string, show: (panels: Panels, given: unknown[]) => void) =>
    disposables.add(
      vscode.commands.registerCommand(id, async (...given: unknown[]) => show(await load(), given)),
    );
  command(COMMANDS.showTraining, (panels, [run]) => panels.showTraining(run));
  command(COMMANDS.showLayers, (panels, [run, layer, site]) => panels.showLayers(run, layer, site));
  command(COMMANDS.showResults, (panels, [selected]) => panels.showResults(selected));
  for (const name of Object.keys(PANELS) as PanelName[])
    disposables.add(
      vscode.window.registerWebviewPanelSerializer(PANELS[name], {
        deserializeWebviewPanel: async (panel, kept: unknown) => (await load()).restore(name, panel, kept),
      }),
    );
  return disposables;
}
