import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { Disposables } from '../disposables.ts';
import type { ExperimentChecker } from '../experiments/checker.ts';
import type { Parts } from '../parts.ts';
import { onShownChange } from '../runs/changes.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import { throttle } from '../throttle.ts';
import { experimentName } from '../words.ts';
import { layerUri } from './decorations.ts';
import { layerTooltip, siteTooltip } from './hovers.ts';
import { filterLayers, type LayerNode, type MapNode, type SiteNode, SWITCHES, sortByError } from './model.ts';
import { type LayerSource, readLayerSource } from './source.ts';
import { mapPlace, mapsText, recordText, shortText, siteName, stateIcon, stateName } from './words.ts';

interface ModelNode {
  readonly type: 'model';
}
export type LayerElement = ModelNode | MapNode | LayerNode | SiteNode;
export type LayerOrder = 'depth' | 'error';

/** The layers view shows which map stands where, and how bad each layer is. */
export class LayersTree implements vscode.TreeDataProvider<LayerElement>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.#changed.event;
  readonly #read = new vscode.EventEmitter<void>();
  /** Fires when new data has been read. */
  readonly onDidRead = this.#read.event;
  readonly #parts: Parts;
  readonly #checker: ExperimentChecker;
  readonly #summaries: RunSummaries;
  readonly #disposables = new Disposables();
  #source: LayerSource | null = null;
  #order: LayerOrder = 'depth';
  #filter = '';

  constructor(parts: Parts, checker: ExperimentChecker, summaries: RunSummaries) {
    this.#parts = parts;
    this.#checker = checker;
    this.#summaries = summaries;
    const refresh = this.#disposables.add(throttle(() => this.#changed.fire(), 400));
    this.#disposables.add(this.#changed);
    this.#disposables.add(this.#read);
    this.#disposables.add(parts.experiments.onDidChange(refresh));
    this.#disposables.add(checker.onDidOutline((file) => file === parts.experiments.active && refresh()));
    this.#disposables.add(
      onShownChange(parts.runs, (dirs) => {
        const file = parts.experiments.active;
        if (dirs.some((dir) => (parts.runs.get(dir)?.experimentFile ?? file) === file)) refresh();
      }),
    );
    this.#disposables.add(parts.jobs.onDidChange(refresh.now));
    this.#disposables.add(
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (document.uri.fsPath === parts.experiments.active) refresh();
      }),
    );
  }

  get source(): LayerSource | null {
    return this.#source;
  }

  get filter(): string {
    return this.#filter;
  }

  show(change: { readonly order?: LayerOrder; readonly filter?: string }): void {
    this.#order = change.order ?? this.#order;
    this.#filter = change.filter ?? this.#filter;
    this.#changed.fire();
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  async getChildren(element?: LayerElement): Promise<LayerElement[]> {
    if (element !== undefined) return element.type === 'layer' ? [...element.sites] : [];
    this.#source = await this.#readSource();
    this.#read.fire();
    if (this.#source === null) return [];
    const { maps, layers } = this.#source.data;
    const left = filterLayers(layers, this.#filter, siteName);
    const sorted = this.#order === 'error' ? sortByError(left) : left;
    // Beside the model's row and not below it: where a view is drawn anew while the editor asks for the rows below one,
    // it collapses that one for good.
    return [{ type: 'model' }, ...(this.#filter === '' ? maps : []), ...sorted];
  }

  getTreeItem(element: LayerElement): vscode.TreeItem {
    switch (element.type) {
      case 'model':
        return this.#modelItem();
      case 'map':
        return mapItem(element, this.#source?.hasSwitches ?? false);
      case 'layer':
        return this.#layerItem(element);
      case 'site':
        return this.#siteItem(element);
    }
  }

  layer(number: number): LayerNode | undefined {
    return this.#source?.data.layers.find(({ layer }) => layer === number);
  }

  async #readSource(): Promise<LayerSource | null> {
    const { experiments, log } = this.#parts;
    if (experiments.active === null) return null;
    try {
      return await readLayerSource(this.#parts, this.#checker, this.#summaries, experiments.active);
    } catch (error) {
      log.warn(messageOf(error));
      return null;
    }
  }

  #modelItem(): vscode.TreeItem {
    const source = this.#source!;
    const item = new vscode.TreeItem(source.modelName);
    item.id = `model ${source.file}`;
    const stale = source.changed.length > 0;
    item.description = [
      experimentName(source.file),
      ...(source.about === '' ? [] : [source.about]),
      ...(stale ? [vscode.l10n.t('numbers stale')] : []),
    ].join(' · ');
    item.iconPath = new vscode.ThemeIcon('symbol-structure');
    item.tooltip = stale
      ? vscode.l10n.t(
          'Changed since the activations were measured: {0}. "Measure activations" renews them.',
          source.changed.join(', '),
        )
      : source.file;
    item.contextValue = 'model';
    return item;
  }

  #layerItem(node: LayerNode): vscode.TreeItem {
    const { layer, worst } = node;
    const state = this.#filter === '' ? 'Collapsed' : 'Expanded';
    const item = new vscode.TreeItem(
      vscode.l10n.t('layer {0}', layer),
      vscode.TreeItemCollapsibleState[state],
    );
    item.id = `layer ${layer} ${state}`;
    item.resourceUri = layerUri(layer);
    item.iconPath = new vscode.ThemeIcon('layers');
    // A side bar is narrow: the numbers come first, and all else is told on hover.
    if (worst !== null) item.description = shortText(worst);
    item.tooltip = layerTooltip(node);
    item.accessibilityInformation = {
      label: [item.label, worst && `${siteName(worst.site)} ${recordText(worst)}`]
        .filter((text) => text !== null)
        .join(', '),
    };
    item.contextValue = 'layer';
    return item;
  }

  #siteItem({ layer, site, maps, record }: SiteNode): vscode.TreeItem {
    const item = new vscode.TreeItem(siteName(site));
    item.id = `site ${layer} ${site}`;
    item.iconPath = stateIcon(maps[0]?.state ?? 'none');
    item.description = record === null ? '' : shortText(record);
    const words = mapsText(maps);
    item.tooltip =
      record === null
        ? [words, notMeasured(this.#source?.hasSwitches ?? true)].filter((text) => text !== '').join('. ')
        : siteTooltip(words, record);
    item.accessibilityInformation = {
      label: [
        vscode.l10n.t('layer {0}', layer),
        siteName(site),
        words,
        record === null ? '' : recordText(record),
      ]
        .filter((text) => text !== '')
        .join(', '),
    };
    item.command = {
      command: PANELS.layers.command,
      title: vscode.l10n.t('Show Layers'),
      arguments: [this.#source?.runDir, layer, site],
    };
    item.contextValue = 'site';
    return item;
  }
}

function mapItem({ symbol, state }: MapNode, hasSwitches: boolean): vscode.TreeItem {
  const item = new vscode.TreeItem(symbol);
  item.id = `map ${symbol}`;
  item.description = stateName(state);
  item.tooltip = `${symbol}: ${stateName(state)} · ${mapPlace(symbol)}`;
  item.iconPath = stateIcon(state);
  item.contextValue = 'map';
  if (SWITCHES[symbol] === null || !hasSwitches) return item;
  const isOn = state !== 'none';
  item.checkboxState = {
    state: isOn ? vscode.TreeItemCheckboxState.Checked : vscode.TreeItemCheckboxState.Unchecked,
    tooltip: isOn
      ? vscode.l10n.t('Switch {0} off in the experiment file', symbol)
      : vscode.l10n.t('Switch {0} on in the experiment file', symbol),
  };
  return item;
}

/** @param alone whether the experiment is one of its own, not the settings of a table. */
function notMeasured(alone: boolean): string {
  return alone
    ? vscode.l10n.t('Not measured yet: "Measure activations" fills this in.')
    : vscode.l10n.t('Not measured: cells are with "statistics": true in the matrix.');
}
