/** Events wait so long for others, so that a page is told twenty times a second at most. */
const WAIT_MS = 50;

/** Sends events that come fast in batches. The first of a batch waits for those behind it. */
export class Batches<Event> {
  readonly #send: (events: readonly Event[]) => void;
  #waiting: Event[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(send: (events: readonly Event[]) => void) {
    this.#send = send;
  }

  add(event: Event): void {
    this.#waiting.push(event);
    this.#timer ??= setTimeout(() => this.end(), WAIT_MS);
  }

  /** Sends what waits. */
  end(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const events = this.#waiting;
    this.#waiting = [];
    if (events.length > 0) this.#send(events);
  }
}
