/** Stands in decoded text for bytes that are no character, or not a whole one yet. */
const REPLACEMENT = '\ufffd';

/**
 * Text of tokens as they come. A token may be a part of a character, and its text may depend on those before it, as the
 * leading space of SentencePiece does: each is decoded behind tokens that end with a whole character.
 */
export class TokenText {
  readonly #decode: (ids: readonly number[]) => string;
  /** Tokens from the last place where text was given out, and those given out there. */
  #ids: number[];
  #known: number;
  #shown: string;

  /** @param before tokens that the text goes on from, whose own text is not given out. */
  constructor(decode: (ids: ArrayLike<number>) => string, before: ArrayLike<number>) {
    this.#decode = decode;
    this.#ids = Array.from(before);
    this.#known = this.#ids.length;
    this.#shown = withoutPart(this.#decode(this.#ids));
  }

  /** @returns the text that is certain since the last call; empty while a character is not whole. */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    if (text.length <= this.#shown.length || text.endsWith(REPLACEMENT)) return '';
    const piece = text.slice(this.#shown.length);
    this.#ids = this.#ids.slice(this.#known);
    this.#known = this.#ids.length;
    this.#shown = this.#decode(this.#ids);
    return piece;
  }

  /** The text of what was held back, where no more tokens come. */
  rest(): string {
    const rest = this.#decode(this.#ids).slice(this.#shown.length);
    this.#known = this.#ids.length;
    this.#shown += rest;
    return rest;
  }
}

/** A text without a character at its end that is not whole: the next tokens may complete it. */
const withoutPart = (text: string): string => text.replace(/\ufffd+$/, '');
