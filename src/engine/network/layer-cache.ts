import { type HostTensor, int64, zeros } from '../../protocol/tensor.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import { cachedNumbers, cacheFormsOf } from './cache-form.ts';
import type { CachedNumbers, LayerQuantizers } from './layer-shape.ts';
import { PackedRows } from './packed-rows.ts';

/** Numbers as a cache holds them; halves are their bits. */
type Numbers = HostTensor<Float32Array | Uint16Array>;

/** A layer adds some of these to its cache for the next tokens, by program output name. */
export interface GrownRows {
  /** Keys and values [B, G, n, h], in the numbers of the cache. */
  readonly keys?: Numbers;
  readonly values?: Numbers;
  /** The same, packed. */
  readonly keyCodes?: HostTensor<Int8Array>;
  readonly keyScales?: Reals;
  readonly valueCodes?: HostTensor<Int8Array>;
  readonly valueScales?: Reals;
}

/** Makes a tensor of zeros. */
export type MakeZeros = (dtype: 'int8' | CachedNumbers, dims: readonly number[]) => HostTensor;

/** Keys or values of a layer's tokens. Memory for all of them is there from the start, and they are written in place. */
interface CachedRows {
  /** Puts those of the next tokens behind `length` tokens. */
  put(rows: GrownRows, length: number, tokens: number): void;
  /** By program input name. */
  readonly inputs: Tensors;
}

/**
 * Keys and values of a layer's tokens so far, in the channels that the deployed cache has: as codes where both are
 * quantized, else as numbers [B, G, C, h], of which `cachedNumbers` says the kind. Programs read the part that is there.
 */
export class LayerCache {
  readonly batch: number;
  readonly capacity: number;
  readonly #rows: readonly CachedRows[];
  #length = 0;
  /** Tokens whose keys and values lie here, also behind the first `length`. */
  #written = 0;

  /** @param capacity tokens that a sequence may have. */
  constructor(
    config: ModelConfig,
    quantizers: LayerQuantizers,
    batch: number,
    capacity: number,
    make: MakeZeros = zeros,
  ) {
    this.batch = batch;
    this.capacity = capacity;
    const { kvHeads, headDim } = config;
    const shape = { heads: [batch, kvHeads], capacity, width: headDim, make } as const;
    const forms = cacheFormsOf(quantizers);
    this.#rows = forms
      ? [new PackedRows('key', forms.keys, shape), new PackedRows('value', forms.values, shape)]
      : plainRows(cachedNumbers(quantizers), shape);
  }

  /** Tokens of each sequence so far. */
  get length(): number {
    return this.#length;
  }

  /** By program input name. */
  get inputs(): Tensors {
    const length = int64([1], BigInt64Array.of(BigInt(this.#length)));
    return Object.assign({ length }, ...this.#rows.map(({ inputs }) => inputs));
  }

  /** Takes the first `length` tokens for all that there are. What lies behind them stays until others come. */
  seek(length: number): void {
    if (length > this.#written) throw new Error(`a cache of ${this.#written} tokens has none at ${length}`);
    this.#length = length;
  }

  /** Adds keys and values of the next tokens of each sequence. */
  append(rows: GrownRows, tokens: number): void {
    if (this.#length + tokens > this.capacity)
      throw new Error(`a cache for ${this.capacity} tokens has ${this.#length} and takes no ${tokens} more`);
    for (const each of this.#rows) each.put(rows, this.#length, tokens);
    this.#length += tokens;
    this.#written = Math.max(this.#written, this.#length);
  }
}

export interface RowsShape {
  /** Sequences and their heads. */
  readonly heads: readonly [number, number];
  readonly capacity: number;
  readonly width: number;
  readonly make: MakeZeros;
}

const plainRows = (dtype: CachedNumbers, shape: RowsShape): PlainRows[] => [
  new PlainRows('keys', 'pastKeys', dtype, shape),
  new PlainRows('values', 'pastValues', dtype, shape),
];

/** Numbers [B, G, C, h]. */
class PlainRows implements CachedRows {
  readonly inputs: Tensors;
  readonly #output: 'keys' | 'values';
  readonly #shape: RowsShape;
  readonly #data: Numbers['data'];

  constructor(output: 'keys' | 'values', input: string, dtype: CachedNumbers, shape: RowsShape) {
    this.#output = output;
    this.#shape = shape;
    const tensor = shape.make(dtype, [...shape.heads, shape.capacity, shape.width]) as Numbers;
    this.#data = tensor.data;
    this.inputs = { [input]: tensor };
  }

  /** A head's tokens lie one after the other, with room for C of them. */
  put(grown: GrownRows, length: number, tokens: number): void {
    const rows = grown[this.#output]!.data;
    const { heads, capacity, width } = this.#shape;
    const [added, room, start] = [tokens * width, capacity * width, length * width];
    // One token of a head is few numbers, for which views of arrays would take longer than the copy.
    for (let head = 0; head < heads[0] * heads[1]; head++)
      for (let i = 0; i < added; i++) this.#data[head * room + start + i] = rows[head * added + i]!;
  }
}
