import type * as vscode from 'vscode';
import type { z } from 'zod';
import {
  type CommonIntent,
  type OwnIntent,
  type Problem,
  parseIntent,
  type RunName,
} from '../../protocol/panels/common.ts';
import type { PanelName } from '../../protocol/panels/registry.ts';
import type { Run } from '../../runs/index.ts';
import { Disposables } from '../disposables.ts';
import { runName } from '../runs/names.ts';
import type { Services } from '../services.ts';
import { language } from '../words.ts';
import { PanelHost, type PanelView } from './panel-host.ts';
import { problemOf } from './problem.ts';
import { remember } from './remembered.ts';

export interface PanelState {
  readonly strings: { readonly panel: string };
}

/** The parts of a panel's contract. */
export interface Contract<State extends PanelState, Own, Memory> {
  readonly name: PanelName;
  readonly strings: State['strings'];
  readonly intents: z.ZodType<Own | CommonIntent>;
  readonly memories: z.ZodType<Memory>;
  /** The choices of a panel that is opened for the first time. */
  readonly memory: Memory;
}

/** A kind of panel: its contract, the memory of its choices, and the one that is open, if any. */
export abstract class Panel<
  State extends PanelState,
  Intent extends { readonly type: string },
  Memory extends object,
> implements PanelView<State, OwnIntent<Intent>>, vscode.Disposable
{
  protected readonly services: Services;
  protected readonly strings: State['strings'];
  #memory: Memory;
  readonly name: PanelName;
  readonly #contract: Contract<State, OwnIntent<Intent>, Memory>;
  readonly #host: PanelHost<State, OwnIntent<Intent>>;
  readonly #disposables = new Disposables();

  constructor(services: Services, contract: Contract<State, OwnIntent<Intent>, Memory>) {
    this.services = services;
    this.#contract = contract;
    this.name = contract.name;
    this.strings = contract.strings;
    this.#memory = contract.memory;
    this.#host = this.own(new PanelHost<State, OwnIntent<Intent>>(services, this));
    this.own(services.runs.onDidChange((dirs) => this.runsChanged(dirs)));
  }

  abstract state(): Promise<State>;

  protected get memory(): Memory {
    return this.#memory;
  }

  protected set memory(memory: Memory) {
    this.#memory = memory;
    remember(this.name, memory);
  }

  /** See {@link PanelView.wire}. */
  wire(state: State): State {
    return state;
  }

  /** See {@link PanelView.unsent}. */
  unsent(): void {}

  abstract act(intent: OwnIntent<Intent>): Promise<void>;

  /** The part of the memory that the arguments of the panel's command choose; what is not as it should be is left out. */
  protected abstract choice(given: readonly unknown[]): Partial<Memory>;

  get title(): string {
    return this.strings.panel;
  }

  titleOf(_state: State): string {
    return this.title;
  }

  parse(message: unknown): OwnIntent<Intent> | CommonIntent | null {
    return parseIntent(this.#contract.intents, message);
  }

  /** Opens the panel. Choices that are left out stay as they were. */
  show(...given: readonly unknown[]): void {
    this.memory = { ...this.memory, ...this.choice(given) };
    this.#host.show();
  }

  /** After a reload VS Code hands back the panel and what its webview kept; a damaged memory is forgotten. */
  restore(webviewPanel: vscode.WebviewPanel, kept: unknown): void {
    const { remembered } = (kept ?? {}) as { readonly remembered?: unknown };
    const memory = this.#contract.memories.safeParse(remembered);
    if (memory.success) this.memory = memory.data;
    this.#host.adopt(webviewPanel);
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  /** Runs appeared, changed or went. */
  protected runsChanged(_dirs: readonly string[]): void {
    this.update();
  }

  /** Something that the panel shows has changed. */
  protected update(): void {
    this.#host.update();
  }

  protected own<T extends { dispose(): unknown }>(item: T): T {
    return this.#disposables.add(item);
  }

  protected nameOf(run: Run): RunName {
    return runName(run, this.services.runs.annotation(run.dir), language());
  }

  protected problemOf(error: unknown): Problem {
    return problemOf(error, this.services.log);
  }
}
