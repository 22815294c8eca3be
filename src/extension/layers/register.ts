import * as vscode from 'vscode';
import type { MapSymbol } from '../../protocol/block.ts';
import { COMMANDS, VIEWS } from '../../protocol/ids.ts';
import type { ExperimentChecker } from '../experiments/checker.ts';
import { replaceWith } from '../experiments/code-actions.ts';
import type { Parts } from '../parts.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import { LayerBadges } from './decorations.ts';
import { SWITCHES } from './model.ts';
import { type LayerElement, LayersTree } from './tree.ts';

export function registerLayers(
  parts: Parts,
  checker: ExperimentChecker,
  summaries: RunSummaries,
): vscode.Disposable {
  const tree = new LayersTree(parts, checker, summaries);
  const badges = new LayerBadges(tree);
  const view = vscode.window.createTreeView<LayerElement>(VIEWS.layers, {
    treeDataProvider: tree,
    showCollapseAll: true,
    manageCheckboxStateManually: true,
  });
  const { registerCommand, executeCommand } = vscode.commands;
  const show = (change: Parameters<LayersTree['show']>[0]) => {
    tree.show(change);
    view.message = tree.filter === '' ? '' : vscode.l10n.t('Filter: {0}', tree.filter);
    void executeCommand('setContext', 'spinquant.layersFiltered', tree.filter !== '');
  };
  const kinds = new Map<string, string>();
  return vscode.Disposable.from(
    tree,
    badges,
    view,
    vscode.window.registerFileDecorationProvider(badges),
    view.onDidChangeCheckboxState(async ({ items }) => {
      for (const [element, state] of items)
        if (element.type === 'map')
          await switchMap(tree, kinds, element.symbol, state === vscode.TreeItemCheckboxState.Checked);
    }),
    registerCommand(COMMANDS.sortLayersByDepth, () => setOrder('depth')),
    registerCommand(COMMANDS.sortLayersByError, () => setOrder('error')),
    registerCommand(COMMANDS.clearLayerFilter, () => show({ filter: '' })),
    registerCommand(COMMANDS.filterLayers, async () => {
      const filter = await askFilter(tree.filter);
      if (filter !== undefined) show({ filter });
    }),
  );

  function setOrder(order: 'depth' | 'error'): void {
    show({ order });
    void executeCommand('setContext', 'spinquant.layersByError', order === 'error');
  }
}

function askFilter(value: string): Thenable<string | undefined> {
  return vscode.window.showInputBox({
    title: vscode.l10n.t('Filter layers'),
    prompt: vscode.l10n.t(
      'A layer number, part of a site ("down", "keys"), or "<12" for an SQNR below 12 dB',
    ),
    value,
  });
}

/** Writes the switch into the experiment file; one that was saved is saved again. */
async function switchMap(
  tree: LayersTree,
  kinds: Map<string, string>,
  symbol: MapSymbol,
  on: boolean,
): Promise<void> {
  const { source } = tree;
  const key = SWITCHES[symbol];
  if (source === null || key === null) return;
  const before = source.experiment.rotation[key];
  const memory = `${source.file} ${key}`;
  // The kind that is switched off comes back when it is switched on.
  if (typeof before === 'string' && before !== 'none') kinds.set(memory, before);
  const value = typeof before === 'boolean' ? on : on ? (kinds.get(memory) ?? 'learned') : 'none';
  const { withValue } = await import('../experiments/fixes.ts');
  const document = await vscode.workspace.openTextDocument(source.file);
  const wasSaved = !document.isDirty;
  await vscode.workspace.applyEdit(
    replaceWith(document, withValue(document.getText(), ['rotation', key], value)),
  );
  if (wasSaved) await document.save();
}
