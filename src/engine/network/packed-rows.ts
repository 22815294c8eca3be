import {
  BLOCK_TOKENS,
  blocksOf,
  type CacheForm,
  type PackedLayout,
  packedLayout,
} from '../graph/fused/pack-cache.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { GrownRows, RowsShape } from './layer-cache.ts';

type Role = 'key' | 'value';

/** Names of packed rows in programs. */
export const PACKED_NAMES = {
  key: { codes: 'keyCodes', scales: 'keyScales', pastCodes: 'pastKeyCodes', pastScales: 'pastKeyScales' },
  value: {
    codes: 'valueCodes',
    scales: 'valueScales',
    pastCodes: 'pastValueCodes',
    pastScales: 'pastValueScales',
  },
} as const;

/** Packed tokens of some heads, as arrays of what lies in a block. */
interface Blocks {
  readonly words: Int32Array;
  readonly zeros: Int16Array;
  readonly scales: Float32Array;
  /** Blocks of a head. */
  readonly count: number;
}

const blocksIn = (codes: Int8Array, scales: Float32Array, count: number): Blocks => ({
  words: new Int32Array(codes.buffer, codes.byteOffset, codes.byteLength / 4),
  zeros: new Int16Array(codes.buffer, codes.byteOffset, codes.byteLength / 2),
  scales,
  count,
});

/** Keys or values of a layer's tokens as codes, in blocks of 16 tokens. New tokens come in blocks of their own. */
export class PackedRows {
  readonly inputs: Tensors;
  readonly #role: Role;
  readonly #layout: PackedLayout;
  readonly #heads: number;
  readonly #blocks: Blocks;

  constructor(role: Role, form: CacheForm, { heads, capacity, width, make }: RowsShape) {
    this.#role = role;
    this.#layout = packedLayout(width, form);
    this.#heads = heads[0] * heads[1];
    const blocks = blocksOf(capacity);
    const codes = make('int8', [...heads, blocks, this.#layout.blockBytes]);
    const scales = make('float32', [...heads, blocks, this.#layout.blockScales]) as Reals;
    this.#blocks = blocksIn(codes.data as Int8Array, scales.data, blocks);
    const { pastCodes, pastScales } = PACKED_NAMES[role];
    this.inputs = { [pastCodes]: codes, [pastScales]: scales };
  }

  put(rows: GrownRows, length: number, tokens: number): void {
    const names = PACKED_NAMES[this.#role];
    const added = blocksIn(rows[names.codes]!.data, rows[names.scales]!.data, blocksOf(tokens));
    for (let head = 0; head < this.#heads; head++)
      for (let token = 0; token < tokens; token++) this.#putToken(added, head, token, length + token);
  }

  #putToken(added: Blocks, head: number, from: number, to: number): void {
    const { groups, groupWords, codeBytes, blockBytes, blockScales, hasZeros } = this.#layout;
    const [source, target] = [added, this.#blocks];
    const [sourceBlock, targetBlock] = [blockOf(source, head, from), blockOf(target, head, to)];
    const [lane, place] = [from % BLOCK_TOKENS, to % BLOCK_TOKENS];
    const words = groups * groupWords;
    // Words of keys lie one for each token side by side, those of a value one after the other.
    const [step, first, at] =
      this.#role === 'key' ? [BLOCK_TOKENS, lane, place] : [1, lane * words, place * words];
    const [sourceWords, targetWords] = [(sourceBlock * blockBytes) / 4, (targetBlock * blockBytes) / 4];
    for (let word = 0; word < words; word++)
      target.words[targetWords + at + word * step] = source.words[sourceWords + first + word * step]!;
    const [sourceZeros, targetZeros] = [2 * sourceWords + codeBytes / 2, 2 * targetWords + codeBytes / 2];
    for (let group = 0; group < groups; group++) {
      const [old, now] = [group * BLOCK_TOKENS + lane, group * BLOCK_TOKENS + place];
      target.scales[targetBlock * blockScales + now] = source.scales[sourceBlock * blockScales + old]!;
      if (hasZeros) target.zeros[targetZeros + now] = source.zeros[sourceZeros + old]!;
    }
  }
}

const blockOf = ({ count }: Blocks, head: number, token: number): number =>
  head * count + Math.floor(token / BLOCK_TOKENS);
