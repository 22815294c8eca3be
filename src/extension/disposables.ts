import type * as vscode from 'vscode';

/** Disposes a group, last first, as it was built up. */
export class Disposables implements vscode.Disposable {
  readonly #items: { dispose(): unknown }[] = [];

  add<T extends { dispose(): unknown }>(item: T): T {
    this.#items.push(item);
    return item;
  }

  dispose(): void {
    for (const item of this.#items.splice(0).reverse()) item.dispose();
  }
}
