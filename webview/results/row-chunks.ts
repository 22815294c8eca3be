/** Many rows come in pieces: those in sight at once, so that a click is answered, the others in the moments after. */

/** Rows of a piece: about as many milliseconds on a slow machine. */
const PIECE = 60;

export interface Placed<T> {
  readonly body: HTMLElement;
  /** What a row is made of when its turn comes. */
  readonly row: T;
}

export class RowChunks<T> {
  readonly #make: (row: T) => HTMLElement;
  readonly #busy: (busy: boolean) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** @param busy told while rows are still to come. */
  constructor(make: (row: T) => HTMLElement, busy: (busy: boolean) => void) {
    this.#make = make;
    this.#busy = busy;
  }

  /** Rows of an earlier call that are still to come do not come any more. @param first how many come at once. */
  place(rows: readonly Placed<T>[], first: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#put(rows.slice(0, first));
    this.#rest(rows.slice(first));
  }

  #rest(rows: readonly Placed<T>[]): void {
    this.#busy(rows.length > 0);
    if (rows.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#put(rows.slice(0, PIECE));
      this.#rest(rows.slice(PIECE));
    });
  }

  #put(rows: readonly Placed<T>[]): void {
    for (const { body, row } of rows) body.append(this.#make(row));
  }
}
