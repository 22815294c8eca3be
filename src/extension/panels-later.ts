import * as vscode from 'vscode';
import { COMMANDS, PANELS } from '../protocol/ids.ts';
import { Disposables } from './disposables.ts';
import type { Services } from './services.ts';

const OPEN = 'spinquant.panelsOpen';
const SHOWING = [COMMANDS.showTraining, COMMANDS.showLayers, COMMANDS.showResults];

/**
 * The panels, loaded when the first is shown: activation need not wait for them. A window that had some open waits,
 * because VS Code asks for their serializers as soon as the activation is over.
 */
export async function registerPanelsLater(services: Services): Promise<vscode.Disposable> {
  const disposables = new Disposables();
  const { workspaceState } = services.context;
  const wereOpen = arePanelsOpen() || workspaceState.get<boolean>(OPEN) === true;
  disposables.add(
    vscode.window.tabGroups.onDidChangeTabs(() => {
      if (workspaceState.get<boolean>(OPEN) !== arePanelsOpen())
        void workspaceState.update(OPEN, arePanelsOpen());
    }),
  );
  const stand = new Disposables();
  let loading: Promise<void> | null = null;
  const load = () => {
    loading ??= import('./panels/index.ts').then(({ registerPanels }) => {
      stand.dispose();
      disposables.add(registerPanels(services));
    });
    return loading;
  };
  if (wereOpen) {
    await load();
    return disposables;
  }
  disposables.add(stand);
  for (const command of SHOWING)
    stand.add(
      vscode.commands.registerCommand(command, async (...given: unknown[]) => {
        await load();
        return vscode.commands.executeCommand(command, ...given);
      }),
    );
  return disposables;
}

function arePanelsOpen(): boolean {
  const ours: readonly string[] = Object.values(PANELS);
  return vscode.window.tabGroups.all.some(({ tabs }) =>
    tabs.some(
      // The workbench puts a word of its own before the type.
      ({ input }) =>
        input instanceof vscode.TabInputWebview && ours.some((type) => input.viewType.endsWith(type)),
    ),
  );
}
