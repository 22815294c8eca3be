import * as vscode from 'vscode';
import { badSites, faultOf, LEAST_DB, type SiteNode } from './model.ts';
import type { LayersTree } from './tree.ts';
import { recordText, siteName } from './words.ts';

const SCHEME = 'spinquant-layer';

export function layerUri(layer: number): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${layer}` });
}

/** A badge on the layers in which something is bad, with what it is. */
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
    const node = this.#tree.layer(Number(uri.path.slice(1)));
    const bad = node === undefined ? [] : badSites(node);
    if (bad.length === 0) return undefined;
    return {
      badge: '▲',
      tooltip: bad.map(faultText).join('\n'),
      color: new vscode.ThemeColor('list.warningForeground'),
    };
  }

  dispose(): void {
    this.#listener.dispose();
    this.#changed.dispose();
  }
}

export function faultText({ site, record }: SiteNode): string {
  const { t } = vscode.l10n;
  const numbers = record === null ? '' : recordText(record);
  return faultOf(record) === 'lost'
    ? t('{0}: rotation makes it worse ({1})', siteName(site), numbers)
    : t('{0}: less than {1} dB are left ({2})', siteName(site), LEAST_DB, numbers);
}
