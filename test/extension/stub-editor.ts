/** Parts of the extension with as much of VS Code as they ask for, in plain Node. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type PluginBuild } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const KEY = 'stubOfVSCode';

interface StubUri {
  readonly scheme: 'file';
  readonly fsPath: string;
}

const uriOf = (fsPath: string): StubUri => ({ scheme: 'file', fsPath });

/** A file that is open in the editor. */
export class StubDocument {
  readonly uri: StubUri;
  isDirty = false;
  /** Not where another program has written the file meanwhile. */
  savable = true;
  #text: string;

  constructor(path: string) {
    this.uri = uriOf(path);
    this.#text = readFileSync(path, 'utf8');
  }

  /** What a person writes over it. */
  type(text: string): void {
    this.#text = text;
    this.isDirty = true;
  }

  getText(): string {
    return this.#text;
  }

  async save(): Promise<boolean> {
    if (!this.savable) return false;
    writeFileSync(this.uri.fsPath, this.#text);
    this.isDirty = false;
    return true;
  }
}

class StubItems extends Map<string, StubItem> {
  add(item: StubItem): void {
    this.set(item.id, item);
  }

  replace(items: readonly StubItem[]): void {
    this.clear();
    for (const item of items) this.add(item);
  }
}

export interface StubItem {
  readonly id: string;
  readonly label: string;
  readonly uri: StubUri;
  readonly children: StubItems;
}

/** A controller of tests, which remembers how they went: `passed x`, `errored x: why`, at last `end`. */
export class StubController {
  readonly items = new StubItems();
  readonly told: string[] = [];
  refreshHandler: () => Promise<void> = async () => {};
  runHandler: (request: object, token: object) => Promise<void> = async () => {};

  createTestItem(id: string, label: string, uri: StubUri): StubItem {
    return { id, label, uri, children: new StubItems() };
  }

  createRunProfile(_label: string, _kind: number, handler: StubController['runHandler']): object {
    this.runHandler = handler;
    return { dispose() {} };
  }

  createTestRun(): object {
    const tell = (how: string) => (item: StubItem, message?: { message: string }) =>
      this.told.push(`${how} ${item.label}${message ? `: ${message.message}` : ''}`);
    return {
      ...{ started: () => {}, appendOutput: () => {}, end: () => this.told.push('end') },
      ...{ passed: tell('passed'), failed: tell('failed'), errored: tell('errored') },
    };
  }

  dispose(): void {}
}

export interface StubEditor {
  /** Of the workspace: absolute paths. */
  readonly folders: readonly string[];
  readonly documents: StubDocument[];
  readonly controller: StubController;
  /** A setting as it holds at a path; null where no path was told. */
  setting(key: string, path: string | null): unknown;
}

class StubEmitter<T> {
  readonly #listeners = new Set<(value: T) => void>();
  readonly event = (listener: (value: T) => void): object => {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  };

  fire(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }

  dispose(): void {
    this.#listeners.clear();
  }
}

class StubPattern {
  readonly folder: string;
  readonly ending: string;

  /** @param glob of which only what comes behind its last star is looked at. */
  constructor({ uri }: { readonly uri: StubUri }, glob: string) {
    this.folder = uri.fsPath;
    this.ending = glob.slice(glob.lastIndexOf('*') + 1);
  }
}

async function findFiles({ folder, ending }: StubPattern): Promise<StubUri[]> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(ending)).map((name) => uriOf(join(folder, name)));
}

const nothing = { dispose() {} };

/** The names of VS Code that {@link loadWithEditor} gives to a module. */
function vscodeOf(editor: StubEditor): object {
  class TestMessage {
    readonly message: string;
    constructor(message: string) {
      this.message = message;
    }
  }
  const get = (path: string | null) => ({ get: (key: string) => editor.setting(key, path) });
  return {
    l10n: {
      t: (text: string, ...given: unknown[]) => text.replace(/\{(\d)\}/g, (_, at) => String(given[at])),
    },
    Uri: { file: uriOf },
    Range: class {},
    EventEmitter: StubEmitter,
    RelativePattern: StubPattern,
    Disposable: { from: () => nothing },
    TestRunProfileKind: { Run: 1 },
    TestMessage,
    tests: { createTestController: () => editor.controller },
    window: {},
    commands: { executeCommand: async () => {} },
    lm: {},
    LanguageModelToolResult: class {
      readonly content: unknown;
      constructor(content: unknown) {
        this.content = content;
      }
    },
    LanguageModelTextPart: class {
      readonly value: string;
      constructor(value: string) {
        this.value = value;
      }
    },
    workspace: {
      ...{ isTrusted: true, findFiles },
      workspaceFolders: editor.folders.map((path) => ({ uri: uriOf(path) })),
      textDocuments: editor.documents,
      asRelativePath: (path: string) => path,
      fs: { readFile: ({ fsPath }: StubUri) => readFile(fsPath) },
      getConfiguration: (_section?: string, scope?: StubUri | null) => get(scope?.fsPath ?? null),
    },
  };
}

/** Evaluates a module of the extension for itself alone. @param entry relative to `src/extension`. */
export async function loadWithEditor<Module>(entry: string, editor: StubEditor): Promise<Module> {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-stub-'));
  try {
    const out = join(folder, 'module.mjs');
    await build({
      absWorkingDir: ROOT,
      entryPoints: [join('src', 'extension', entry)],
      bundle: true,
      outfile: out,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      mainFields: ['module', 'main'],
      plugins: [{ name: 'stub of VS Code', setup: replaceVscode }],
    });
    Object.assign(globalThis, { [KEY]: vscodeOf(editor) });
    // The caller names the module that it asks for.
    return (await import(pathToFileURL(out).href)) as Module;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function replaceVscode({ onResolve, onLoad }: PluginBuild): void {
  onResolve({ filter: /^vscode$/ }, () => ({ path: 'vscode', namespace: KEY }));
  onLoad({ filter: /.*/, namespace: KEY }, () => ({ contents: `module.exports = globalThis.${KEY};` }));
}
