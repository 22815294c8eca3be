import { bytePieces } from './bytes.ts';
import { Heap } from './heap.ts';
import { areWordsIndependent, cutAtSpaces } from './independent-words.ts';
import type { BpeModel } from './model-schema.ts';
import { PairRanks } from './pair-ranks.ts';

/** Turns a word into ids. */
export type EncodeWord = (word: string) => readonly number[];

/** Words of up to this many UTF-16 units are remembered. */
const MAX_CACHED_LENGTH = 256;
const CACHE_SIZE = 50_000;

/**
 * Builds byte-pair encoding as the tokenizers library in Rust has it: a word starts as characters, and the adjacent
 * pair with the earliest merge rule is joined first, the leftmost on a tie. The time is n log n for a word of n
 * characters.
 * @param cuts true where a word may be cut at spaces first.
 * @throws Error when a rule names a token that the vocabulary lacks.
 */
export function buildBpe(model: BpeModel, cuts = areWordsIndependent(model)): EncodeWord {
  const { vocab, ignoreMerges, unknown } = model;
  if (unknown !== null && !vocab.has(unknown))
    throw new Error(`unk_token ${JSON.stringify(unknown)} is not in model.vocab`);
  const ranks = rankMerges(model);
  const cache = new Map<string, readonly number[]>();
  const encode = (word: string): readonly number[] => {
    const cached = cache.get(word);
    if (cached) return cached;
    const ids = mergeAll(startingIds(model, word), ranks);
    if (word.length <= MAX_CACHED_LENGTH) {
      if (cache.size >= CACHE_SIZE) cache.clear();
      cache.set(word, ids);
    }
    return ids;
  };
  return (word) => {
    const whole = ignoreMerges ? vocab.get(word) : undefined;
    if (whole !== undefined) return [whole];
    return cuts ? cutAtSpaces(word).flatMap(encode) : encode(word);
  };
}

interface Ranks {
  /** The rank of the rule that joins two ids; undefined where there is none. */
  rankOf(left: number, right: number): number | undefined;
  /** The id that a rule makes, by rank. */
  readonly results: ArrayLike<number>;
}

function rankMerges({ vocab, merges, prefix }: BpeModel): Ranks {
  const idOf = (text: string, rule: readonly string[]): number => {
    const id = vocab.get(text);
    if (id !== undefined) return id;
    throw new Error(
      `the merge ${JSON.stringify(rule)} needs the token ${JSON.stringify(text)}, which model.vocab lacks`,
    );
  };
  const ranks = new PairRanks(merges.length);
  const results = new Uint32Array(merges.length);
  for (let rank = 0; rank < merges.length; rank++) {
    const rule = merges[rank]!;
    const [left, right] = rule;
    ranks.set(idOf(left, rule), idOf(right, rule), rank);
    results[rank] = idOf(left + (prefix === '' ? right : right.slice(prefix.length)), rule);
  }
  return { rankOf: (left, right) => ranks.get(left, right), results };
}

/** Ids of the characters of a word, of their bytes where they are unknown, else of the unknown token. */
function startingIds(model: BpeModel, word: string): number[] {
  const { vocab, unknown, fuseUnknown } = model;
  const unknownId = unknown === null ? undefined : vocab.get(unknown);
  const ids: number[] = [];
  let pending = false;
  for (const text of characters(model, word)) {
    const id = vocab.get(text);
    const bytes = id === undefined ? byteIds(model, text) : null;
    if (bytes !== null) {
      // As in the library, an unknown character before these bytes comes after them.
      ids.push(...bytes);
      continue;
    }
    if (pending && !(id === undefined && fuseUnknown)) ids.push(unknownId!);
    pending = id === undefined && unknownId !== undefined;
    if (id !== undefined) ids.push(id);
  }
  if (pending) ids.push(unknownId!);
  return ids;
}

/** The characters of a word as the vocabulary writes them. */
function* characters({ prefix, suffix }: BpeModel, word: string): Generator<string> {
  let end = 0;
  for (const character of word) {
    const before = end === 0 ? '' : prefix;
    end += character.length;
    yield before + character + (end === word.length ? suffix : '');
  }
}

function byteIds({ vocab, byteFallback }: BpeModel, text: string): number[] | null {
  if (!byteFallback) return null;
  const ids = bytePieces(text).map((piece) => vocab.get(piece));
  return ids.every((id) => id !== undefined) ? ids : null;
}

/** A key of the queue is rank × POSITIONS + position: exact up to four million rules. */
const POSITIONS = 2 ** 31;

function mergeAll(start: readonly number[], { rankOf, results }: Ranks): readonly number[] {
  const { length } = start;
  const ids = Float64Array.from(start);
  // The neighbours that are left; a joined one has the id −1.
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const rankAt = (left: number): number | undefined => {
    const right = next[left]!;
    if (right >= length) return undefined;
    return rankOf(ids[left]!, ids[right]!);
  };
  const queue = new Heap();
  const offer = (left: number): void => {
    const rank = rankAt(left);
    if (rank !== undefined) queue.push(rank * POSITIONS + left);
  };
  for (let i = 0; i + 1 < length; i++) offer(i);
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    const left = key % POSITIONS;
    const rank = (key - left) / POSITIONS;
    const now = ids[left]! < 0 ? undefined : rankAt(left);
    // Another rule may make the same token from what stands here by now.
    if (now === undefined || results[now] !== results[rank]) continue;
    const right = next[left]!;
    ids[left] = results[now]!;
    ids[right] = -1;
    next[left] = next[right]!;
    if (next[left]! < length) previous[next[left]!] = left;
    if (previous[left]! >= 0) offer(previous[left]!);
    offer(left);
  }
  return Array.from(ids).filter((id) => id >= 0);
}
