/** Finds strings that end a text which comes in pieces. What may be the beginning of one is held back. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';

  /** @param stops none of them empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /**
   * Takes the next piece. The string whose end comes first is found, whatever the pieces are; of several with the same
   * end, the longest.
   * @returns the text that is sure to stand before any of the strings, and the string that was found.
   */
  push(piece: string): { readonly text: string; readonly stop: string | null } {
    const all = this.#held + piece;
    const found = this.#first(all);
    if (found !== null) {
      this.#held = '';
      return { text: all.slice(0, found.end - found.stop.length), stop: found.stop };
    }
    const held = this.#beginning(all);
    this.#held = all.slice(all.length - held);
    return { text: all.slice(0, all.length - held), stop: null };
  }

  /** Gives what was held back: the text ends without one of the strings. */
  rest(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #first(text: string): { readonly stop: string; readonly end: number } | null {
    const found = this.#stops
      .map((stop) => ({ stop, end: text.indexOf(stop) + stop.length }))
      .filter(({ stop, end }) => end >= stop.length)
      .sort((a, b) => a.end - b.end || b.stop.length - a.stop.length);
    return found[0] ?? null;
  }

  /** Length of the longest end of a text that a string begins with. */
  #beginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map(({ length }) => length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
