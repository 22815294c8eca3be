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

/** Drawing takes a sixth of the time at most. */
const REST = 5;

/** The line to the host: states come in, intents go out. */
export class Bridge<State extends { readonly remembered: unknown }, Intent, Toggles extends object> {
  readonly #api = acquireVsCodeApi();
  #toggles: Toggles;
  #remembered: unknown = null;

  readonly #merge: (state: State, before: State | null) => State;
  /** The last one that came, shown or not. */
  #before: State | null = null;
  #saved = '';

  /**
   * @param defaults toggles of a panel that is opened for the first time.
   * @param merge makes a whole state of one that says only what is new.
   */
  constructor(defaults: Toggles, merge: (state: State, before: State | null) => State = (state) => state) {
    this.#merge = merge;
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
   * the last is shown. Live ones leave the page, and an editor that shares its thread, most of the time.
   */
  listen(show: (state: State) => void): void {
    let next: State | null = null;
    /** When the next live state may be drawn. */
    let rested = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = (): void => {
      const state = next;
      next = null;
      if (!state) return;
      const began = performance.now();
      show(state);
      const ended = performance.now();
      rested = ended + REST * (ended - began);
    };
    window.addEventListener('message', ({ data }: MessageEvent<StateMessage<State>>) => {
      if (data?.type !== 'state') return;
      clearTimeout(timer);
      const wait = data.isLive ? rested - performance.now() : 0;
      if (wait > 0) timer = setTimeout(() => requestAnimationFrame(draw), wait);
      else requestAnimationFrame(draw);
      next = this.#merge(data.state, this.#before);
      this.#before = next;
      this.#remembered = data.state.remembered;
      this.#save();
    });
    this.send({ type: 'ready' });
  }

  #save(): void {
    const kept: Kept<Toggles> = { remembered: this.#remembered, toggles: this.#toggles };
    // The editor writes down what it is given: not with every step of a run.
    const text = JSON.stringify(kept);
    if (text === this.#saved) return;
    this.#saved = text;
    this.#api.setState(kept);
  }
}
