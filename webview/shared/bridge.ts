import type { CommonIntent, StateMessage } from '../../src/protocol/panels/common.ts';

interface VsCodeApi {
  postMessage(message: unknown): void;
  getState(): unknown;
  setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

/** The memory of the webview over a reload: one part is the host's, the other its own toggles. */
interface Kept<Toggles> {
  readonly remembered: unknown;
  readonly toggles: Toggles;
}

/** The line to the host: states come in, intents go out. */
export class Bridge<State extends { readonly remembered: unknown }, Intent, Toggles extends object> {
  readonly #api = acquireVsCodeApi();
  #toggles: Toggles;
  #remembered: unknown = null;

  /** @param defaults toggles of a panel that is opened for the first time. */
  constructor(defaults: Toggles) {
    const kept = this.#api.getState() as Partial<Kept<Partial<Toggles>>> | null | undefined;
    this.#toggles = { ...defaults, ...kept?.toggles };
    this.#remembered = kept?.remembered ?? null;
  }

  /** The panel's own choices: open tables, sort order, filter. */
  get toggles(): Readonly<Toggles> {
    return this.#toggles;
  }

  keep(change: Partial<Toggles>): void {
    this.#toggles = { ...this.#toggles, ...change };
    this.#save();
  }

  send(intent: Intent | CommonIntent): void {
    this.#api.postMessage(intent);
  }

  /**
   * Listens, and tells the host that it may send. States that come faster than the screen is drawn are skipped: only
   * the last is shown.
   */
  listen(show: (state: State) => void): void {
    let next: State | null = null;
    const draw = (): void => {
      const state = next;
      next = null;
      if (state) show(state);
    };
    window.addEventListener('message', ({ data }: MessageEvent<StateMessage<State>>) => {
      if (data?.type !== 'state') return;
      if (!next) requestAnimationFrame(draw);
      next = data.state;
      this.#remembered = data.state.remembered;
      this.#save();
    });
    this.send({ type: 'ready' });
  }

  #save(): void {
    this.#api.setState({ remembered: this.#remembered, toggles: this.#toggles } satisfies Kept<Toggles>);
  }
}
