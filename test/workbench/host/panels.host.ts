import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';
import { PANELS } from '../../../src/protocol/panels/registry.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { activeParts, open, until } from './editor.ts';

const SHOWING = Object.values(PANELS).map(({ command }) => command);
const TYPES = Object.values(PANELS).map(({ viewType }) => viewType);

/** Kinds of the panels in each group. */
function panelsByGroup(): string[][] {
  return vscode.window.tabGroups.all.map(({ tabs }) =>
    tabs.flatMap(({ input }) => {
      if (!(input instanceof vscode.TabInputWebview)) return [];
      return TYPES.filter((type) => input.viewType.endsWith(type));
    }),
  );
}

/** Once this many are open. */
function groupsWith(count: number): Promise<string[][]> {
  const now = () => (panelsByGroup().flat().length === count ? panelsByGroup() : undefined);
  return until(now, panelsByGroup);
}

describe('panels', () => {
  it('open in one group beside the text, wherever they are called from, and leave the keyboard there', async () => {
    await activeParts();
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    const { uri } = await open(EXPERIMENT);
    for (const [index, command] of SHOWING.entries()) {
      await vscode.commands.executeCommand(command);
      await groupsWith(index + 1);
      assert.equal(vscode.window.tabGroups.activeTabGroup.viewColumn, 1, command);
      assert.equal(vscode.window.activeTextEditor?.document.uri.toString(), uri.toString());
    }
    assert.deepEqual(await groupsWith(4), [[], TYPES]);

    // From the panels' own group, with one of them closed.
    await vscode.commands.executeCommand('workbench.action.focusSecondEditorGroup');
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
    await groupsWith(3);
    for (const command of SHOWING) await vscode.commands.executeCommand(command);
    const groups = await groupsWith(4);
    assert.equal(groups.length, 2, 'no third column');
    assert.deepEqual(groups[0], []);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('split nothing where nothing is open', async () => {
    for (const command of SHOWING) await vscode.commands.executeCommand(command);
    assert.deepEqual(await groupsWith(4), [TYPES]);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });
});
