import { UserError } from '../../protocol/errors.ts';
import type { Tokenizer } from '../model/tokenizer.ts';
import type { Breath } from '../runtime/breath.ts';

/** Characters that are encoded at once: a fraction of a second of work, after which others get their turn. */
const MOST_AT_ONCE = 1 << 18;
const LEAST_AT_ONCE = 1 << 12;
/** A token has about four characters; some more make it likely that one piece is enough. */
const CHARACTERS_PER_TOKEN = 6;
/** Tokens that a cut could change lie within so many characters of it. */
const CONTEXT = 256;
/** So many places are tried before more text is waited for. */
const MOST_TRIED = 64;
/** Text without any place to cut it must still fit into a string, twice. */
const MOST_WHOLE = 1 << 27;

/** A text may be cut behind these; the first kind that it has is used. The character itself is the anchor, if none is named. */
const BREAKS: readonly { readonly pattern: RegExp; readonly anchor?: string }[] = [
  { pattern: /\n(?=\S)/g },
  { pattern: /[^\s](?= \S)/g, anchor: 'a' },
  { pattern: /[。．！？、，.!?,;](?=\S)/g },
];

export interface EncodeOptions {
  /** Names the text in messages. */
  readonly source: string;
  /** About so many ids are needed; Infinity for all. */
  readonly wanted: number;
  readonly breath: Breath;
}

/** Names the text in its messages. */
type Encoder = Pick<Tokenizer, 'encode'>;

interface Cut {
  /** Characters before the cut. */
  readonly at: number;
  /** This stands for the text before the cut when the text behind it is encoded. */
  readonly anchor: string;
}

/**
 * Encodes a text in pieces, of which no more are read than are asked for. The ids are those of the whole text at once:
 * it is cut only where the ids around the cut are those of both sides, {@link CONTEXT} characters each way.
 */
export async function* encodePieces(
  tokenizer: Tokenizer,
  pieces: AsyncIterable<string>,
  { source, wanted, breath }: EncodeOptions,
): AsyncGenerator<Int32Array, void> {
  const named: Encoder = { encode: (text) => tokenizer.encode(text, { source }) };
  const atOnce = Math.min(MOST_AT_ONCE, Math.max(LEAST_AT_ONCE, CHARACTERS_PER_TOKEN * wanted));
  let pending = '';
  let anchor = '';
  let searched = atOnce;
  for await (const piece of pieces) {
    pending += piece;
    while (pending.length >= searched + CONTEXT) {
      await breath.draw();
      const cut = findCut(named, pending, searched);
      if (cut === null) {
        searched = pending.length;
        break;
      }
      yield encodeBehind(named, anchor, pending.slice(0, cut.at));
      pending = pending.slice(cut.at);
      anchor = cut.anchor;
      searched = atOnce;
    }
    if (pending.length > MOST_WHOLE) throw noBreak(source, pending.length);
  }
  await breath.draw();
  if (pending !== '') yield encodeBehind(named, anchor, pending);
}

function findCut(tokenizer: Encoder, text: string, from: number): Cut | null {
  const window = text.slice(0, text.length - CONTEXT);
  for (const { pattern, anchor } of BREAKS) {
    const search = new RegExp(pattern);
    search.lastIndex = from;
    for (let tried = 0; tried < MOST_TRIED; tried++) {
      const found = search.exec(window);
      if (found === null) break;
      const at = found.index + found[0].length;
      const cut = { at, anchor: anchor ?? found[0] };
      if (isSafe(tokenizer, text, cut)) return cut;
    }
  }
  return null;
}

/** True where the ids around the cut are those of its two sides. */
function isSafe(tokenizer: Encoder, text: string, { at, anchor }: Cut): boolean {
  const left = text.slice(Math.max(0, at - CONTEXT), at);
  const right = text.slice(at, at + CONTEXT);
  const head = tokenizer.encode(anchor);
  const behind = tokenizer.encode(anchor + right);
  if (!startsWith(behind, head)) return false;
  const apart = [...tokenizer.encode(left), ...behind.subarray(head.length)];
  const together = tokenizer.encode(left + right);
  return together.length === apart.length && startsWith(together, apart);
}

function startsWith(ids: ArrayLike<number>, head: ArrayLike<number>): boolean {
  return Array.from(head).every((id, i) => ids[i] === id);
}

function encodeBehind(tokenizer: Encoder, anchor: string, text: string): Int32Array {
  if (anchor === '') return tokenizer.encode(text);
  return tokenizer.encode(anchor + text).subarray(tokenizer.encode(anchor).length);
}

function noBreak(source: string, length: number): UserError {
  return new UserError(
    'text/no-break',
    `${source} has ${length} characters without a place where its tokens surely end.`,
    'Break the text into lines.',
  );
}
