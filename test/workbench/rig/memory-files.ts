/** The extension behind {@link createVirtualFolder}: files that are only in memory. */
import * as vscode from 'vscode';

/** Spelt here too: the rig cannot be bundled for the extension host. */
const SCHEME = 'spinquant-test';

const FILES = new Map<string, Uint8Array>([
  ['/lab/lab.spinquant.json', new TextEncoder().encode('{\n  "model": "model"\n}\n')],
]);

class MemoryFiles implements vscode.FileSystemProvider {
  readonly onDidChangeFile = new vscode.EventEmitter<vscode.FileChangeEvent[]>().event;

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => {});
  }

  stat({ path }: vscode.Uri): vscode.FileStat {
    const times = { ctime: 0, mtime: 0 };
    if (path === '/' || path === '/lab') return { type: vscode.FileType.Directory, size: 0, ...times };
    return { type: vscode.FileType.File, size: this.#bytes(path).length, ...times };
  }

  readDirectory({ path }: vscode.Uri): [string, vscode.FileType][] {
    if (path === '/') return [['lab', vscode.FileType.Directory]];
    if (path !== '/lab') throw vscode.FileSystemError.FileNotFound(path);
    return [...FILES.keys()].map((file) => [file.slice('/lab/'.length), vscode.FileType.File]);
  }

  readFile({ path }: vscode.Uri): Uint8Array {
    return this.#bytes(path);
  }

  writeFile({ path }: vscode.Uri, bytes: Uint8Array): void {
    FILES.set(path, bytes);
  }

  createDirectory({ path }: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(path);
  }

  delete({ path }: vscode.Uri): void {
    FILES.delete(path);
  }

  rename({ path }: vscode.Uri): void {
    throw vscode.FileSystemError.NoPermissions(path);
  }

  #bytes(path: string): Uint8Array {
    const bytes = FILES.get(path);
    if (!bytes) throw vscode.FileSystemError.FileNotFound(path);
    return bytes;
  }
}

export function activate(context: vscode.ExtensionContext): void {
  context.subscriptions.push(vscode.workspace.registerFileSystemProvider(SCHEME, new MemoryFiles()));
}
