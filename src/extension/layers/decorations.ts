import * as vscode from 'vscode';
import type { LayersTree } from './tree.ts';

const SCHEME = 'spinquant-layer';

export function layerUri(layer: number): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${layer}` });
}

/** A badge on the layers that lose most to quantization. */
export class LayerBadges implements vscode.FileDecorationProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeFileDecorations = this.#changed.event;
  readonly #tree: LayersTree;
  readonly #listener: vscode.Disposable;

  constructor(tree: LayersTree) {
    this.#tree = tree;
    this.#listener = tree.onDidRead(() => this.#changed.fire(undefined));
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    if (uri.scheme !== SCHEME) return undefined;
    const rank = this.#tree.worst().indexOf(Number(uri.path.slice(1)));
    if (rank < 0) return undefined;
    return {
      badge: '▲',
      tooltip: vscode.l10n.t('Among the layers that lose most to quantization (number {0})', rank + 1),
      color: new vscode.ThemeColor('list.warningForeground'),
    };
  }

  dispose(): void {
    this.#listener.dispose();
    this.#changed.dispose();
  }
}
