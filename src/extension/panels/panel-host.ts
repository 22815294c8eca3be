import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { COMMANDS } from '../../protocol/ids.ts';
import type { CommonIntent, StateMessage } from '../../protocol/panels/common.ts';
import { PANELS, type PanelName } from '../../protocol/panels/registry.ts';
import type { Services } from '../services.ts';
import { throttle } from '../throttle.ts';
import { columnForPanel } from './groups.ts';
import { panelPage } from './page.ts';
import { savePicture } from './results/matrix/save.ts';

/** Live charts change at most ten times a second. */
const UPDATE_INTERVAL_MS = 100;

/** One kind of panel: what it shows and what it does. Its bundle is `dist/webview/<name>.js` and `.css`. */
export interface PanelView<State, Intent> {
  readonly name: PanelName;
  readonly title: string;
  titleOf(state: State): string;
  /** The complete state. Faults of the person's files belong into it. */
  state(): Promise<State>;
  /** The part of a state that a page does not have; called once for each state that is sent. */
  wire(state: State): State;
  /** The page is new, or a state did not reach it: it has nothing. */
  unsent(): void;
  /** @returns null for what this panel does not understand. */
  parse(message: unknown): Intent | CommonIntent | null;
  act(intent: Intent): Promise<void>;
}

/** The one open panel of a kind, if any: makes it, feeds it and listens to it. */
export class PanelHost<State, Intent> implements vscode.Disposable {
  readonly #services: Services;
  readonly #view: PanelView<State, Intent>;
  readonly #tell = throttle(() => this.#send(), UPDATE_INTERVAL_MS);
  #panel: vscode.WebviewPanel | null = null;
  /** A webview that was hidden starts again: nothing is sent before it reports that it is ready. */
  #ready = false;

  constructor(services: Services, view: PanelView<State, Intent>) {
    this.#services = services;
    this.#view = view;
  }

  show(): void {
    if (this.#panel) {
      this.#panel.reveal(undefined, true);
      this.update();
      return;
    }
    const { name, title } = this.#view;
    const column = { viewColumn: columnForPanel(), preserveFocus: true };
    this.adopt(vscode.window.createWebviewPanel(PANELS[name].viewType, title, column, this.#options()));
  }

  /** Takes over a panel that VS Code restored, or that was just made. */
  adopt(panel: vscode.WebviewPanel): void {
    this.#panel?.dispose();
    this.#panel = panel;
    panel.iconPath = this.#icon();
    this.#ready = false;
    panel.webview.options = this.#options();
    panel.webview.onDidReceiveMessage((message: unknown) => void this.#receive(message));
    panel.onDidDispose(() => {
      if (this.#panel === panel) this.#panel = null;
    });
    panel.onDidChangeViewState(() => {
      if (!panel.visible) this.#ready = false;
    });
    panel.webview.html = this.#page(panel.webview);
  }

  /** Something that the panel shows has changed. */
  update(): void {
    if (this.#panel?.visible && this.#ready) this.#tell();
  }

  dispose(): void {
    this.#tell.dispose();
    this.#panel?.dispose();
  }

  async #send(): Promise<void> {
    try {
      const state = await this.#view.state();
      const panel = this.#panel;
      if (!panel?.visible || !this.#ready) return;
      panel.title = this.#view.titleOf(state);
      const isLive = this.#services.jobs.running !== null;
      const message: StateMessage<State> = { type: 'state', state: this.#view.wire(state), isLive };
      if (!(await panel.webview.postMessage(message))) this.#view.unsent();
    } catch (error) {
      this.#report(error);
    }
  }

  async #receive(message: unknown): Promise<void> {
    const intent = this.#view.parse(message);
    if (!intent) {
      this.#services.log.warn(`Panel ${this.#view.name}: not an intent: ${JSON.stringify(message)}`);
      return;
    }
    try {
      if (isCommon(intent)) await this.#actCommon(intent);
      else await this.#view.act(intent);
    } catch (error) {
      this.#report(error);
    }
    this.update();
  }

  async #actCommon(intent: CommonIntent): Promise<void> {
    if (intent.type === 'picture') return savePicture(intent, placeForPictures());
    if (intent.type === 'values') return vscode.env.clipboard.writeText(intent.text);
    if (intent.type === 'ready') {
      this.#ready = true;
      this.#view.unsent();
      return;
    }
    const commands = {
      optimize: COMMANDS.optimize,
      'new-experiment': COMMANDS.newExperiment,
      newest: PANELS[this.#view.name].command,
    };
    await vscode.commands.executeCommand(commands[intent.what]);
  }

  #report(error: unknown): void {
    this.#services.log.error(error instanceof Error ? error : String(error));
    void vscode.window.showErrorMessage(messageOf(error));
  }

  #options(): vscode.WebviewOptions & vscode.WebviewPanelOptions {
    return { enableScripts: true, enableFindWidget: true, localResourceRoots: [this.#folder()] };
  }

  #icon(): { readonly light: vscode.Uri; readonly dark: vscode.Uri } {
    const file = (theme: string) =>
      vscode.Uri.joinPath(
        this.#services.context.extensionUri,
        'media',
        'panels',
        `${this.#view.name}-${theme}.svg`,
      );
    return { light: file('light'), dark: file('dark') };
  }

  #folder(): vscode.Uri {
    return vscode.Uri.joinPath(this.#services.context.extensionUri, 'dist', 'webview');
  }

  #page(webview: vscode.Webview): string {
    const address = (file: string) =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.#folder(), file)).toString();
    const { name, title } = this.#view;
    return panelPage({
      title,
      locale: vscode.env.language,
      cspSource: webview.cspSource,
      nonce: randomBytes(16).toString('base64'),
      script: address(`${name}.js`),
      style: address(`${name}.css`),
    });
  }
}

/** A file of the folder that pictures are proposed for; null where none is open. */
function placeForPictures(): string | null {
  const folder = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file');
  return folder === undefined ? null : vscode.Uri.joinPath(folder.uri, 'picture').fsPath;
}

function isCommon(intent: unknown): intent is CommonIntent {
  const { type } = intent as { type?: unknown };
  return type === 'ready' || type === 'begin' || type === 'picture' || type === 'values';
}
