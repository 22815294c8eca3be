/**
 * Measures attention of one token over a cache in this process, on so many threads: over codes of 4 and 8 bits, over halves
 * and over float32 numbers in turn, round after round. Prints JSON.
 */
import { randomFillSync } from 'node:crypto';
import { packedLayout } from '../../src/engine/graph/fused/pack-cache.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { LargeMemory, roomOf } from '../../src/engine/runtime/large-memory.ts';
import { ReadBandwidth } from '../../src/engine/runtime/read-bandwidth.ts';
import { float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { median, openAddon, type Result } from '../probe.ts';

export interface Argument {
  readonly threads: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens of the cache. */
  readonly depth: number;
  /** Distinct caches: together more than the last cache of the processor holds, where that is asked for. */
  readonly caches: number;
  readonly rounds: number;
}

interface Contender {
  readonly name: string;
  readonly operator: string;
  readonly attributes: Readonly<Record<string, number>>;
  /** The inputs of each cache. */
  readonly caches: readonly (readonly (ProbeTensor | null)[])[];
  readonly bytes: number;
  readonly seconds: number[];
}

const argument = JSON.parse(process.argv[2]!) as Argument;
const { threads, heads, kvHeads, headDim, depth, rounds } = argument;
const { addon, isa } = openAddon();

/** Numbers from −1 to 1 that repeat after 64 KB. */
function noise(...dims: number[]): NumberTensor {
  const bytes = randomFillSync(new Uint8Array(2 ** 15));
  const some = Float32Array.from(new Int16Array(bytes.buffer), (value) => value / 2 ** 15);
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (let at = 0; at < data.length; at += some.length) data.set(some.subarray(0, data.length - at), at);
  return { data, dims };
}

interface NumberTensor extends StoredTensor {
  readonly data: Float32Array;
}

interface StoredTensor {
  readonly data: Int8Array | Uint16Array | Float32Array;
  readonly dims: readonly number[];
}

function dtypeOf(data: StoredTensor['data']): 'int8' | 'float16' | 'float32' {
  if (data instanceof Int8Array) return 'int8';
  return data instanceof Uint16Array ? 'float16' : 'float32';
}

/** Equal tensors, each with a place of its own in one piece of memory, as caches of a network have them. */
function copies(tensors: readonly StoredTensor[]): readonly ProbeTensor[][] {
  const room = tensors.reduce((sum, { data }) => sum + roomOf(data.byteLength), 0);
  const memory = new LargeMemory(argument.caches * room);
  const copy = ({ data, dims }: StoredTensor): ProbeTensor => {
    const own = memory.zeros(dtypeOf(data), dims);
    own.data.set(data);
    return own;
  };
  return Array.from({ length: argument.caches }, () => tensors.map(copy));
}

/** Keys or values of so many tokens, packed by our operator. */
function packed(tokens: number, bits: number, keys: 0 | 1): readonly [StoredTensor, StoredTensor] {
  const { blockBytes, blockScales } = packedLayout(headDim, { bits, symmetric: false, group: 0 });
  const blocks = Math.ceil(tokens / 16);
  const codes = { data: new Int8Array(kvHeads * blocks * blockBytes), dims: [kvHeads, blocks, blockBytes] };
  const scales = {
    data: new Float32Array(kvHeads * blocks * blockScales),
    dims: [kvHeads, blocks, blockScales],
  };
  const quantizer = { bits, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0, keys };
  addon.runOperator(
    'PackCache',
    isa,
    quantizer,
    [noise(kvHeads, tokens, headDim)],
    [codes.data, scales.data],
    threads,
    1,
  );
  return [codes, scales];
}

const q = noise(kvHeads, heads / kvHeads, headDim);
const length: ProbeTensor = { data: BigInt64Array.of(BigInt(depth)), dims: [1] };
const scaled = { scale: 1 / Math.sqrt(headDim), rows: 1, window: 0 };
const bytesOf = (tensors: readonly ProbeTensor[]): number =>
  tensors.reduce((sum, { data }) => sum + data.byteLength, 0);

function overCodes(bits: number): Contender {
  const own = [...packed(1, bits, 1), ...packed(1, bits, 0)];
  const caches = copies([...packed(depth, bits, 1), ...packed(depth, bits, 0)]);
  const form = {
    key_bits: bits,
    value_bits: bits,
    key_group: 0,
    value_group: 0,
    key_zeros: 1,
    value_zeros: 1,
  };
  return {
    name: `${bits} bits`,
    operator: 'PackedAttention',
    attributes: { ...scaled, ...form },
    caches: caches.map((cache) => [q, ...own, ...cache, length, null, null]),
    bytes: bytesOf(caches[0]!),
    seconds: [],
  };
}

function overNumbers(form: (x: NumberTensor) => StoredTensor, name: string, operator: string): Contender {
  const own = [noise(kvHeads, 1, headDim), noise(kvHeads, 1, headDim)];
  const caches = copies([form(noise(kvHeads, depth, headDim)), form(noise(kvHeads, depth, headDim))]);
  return {
    name,
    operator,
    attributes: scaled,
    caches: caches.map((cache) => [q, ...own, ...cache, length]),
    bytes: bytesOf(caches[0]!),
    seconds: [],
  };
}

function main(): Result {
  const contenders = [
    overCodes(4),
    overCodes(8),
    overNumbers(({ data, dims }) => ({ data: float32ToFloat16(data), dims }), '16 bits', 'HalfAttention'),
    overNumbers((x) => x, 'float32', 'CachedAttention'),
  ];
  const output = new Float32Array(heads * headDim);
  const own = () => new Uint16Array(kvHeads * headDim);
  const bandwidth = new ReadBandwidth(threads);
  for (let round = 0; round <= rounds; round++) {
    bandwidth.measure();
    for (const { operator, attributes, caches, seconds } of contenders)
      for (const inputs of caches) {
        const outputs = operator === 'HalfAttention' ? [output, own(), own()] : [output];
        const taken = addon.runOperator(operator, isa, attributes, inputs, outputs, threads, 1);
        // The first round fills caches of the system.
        if (round > 0) seconds.push(...taken);
      }
  }
  const rows = contenders.map(({ name, bytes, seconds }) => ({
    ...{ name, bytes, milliseconds: Math.min(...seconds) * 1000, median: median(seconds) * 1000 },
  }));
  return { instructionSet: isa, readBandwidth: bandwidth.most!, clock: addon.clockRate(), rows };
}

console.log(JSON.stringify(main()));
