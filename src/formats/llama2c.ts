import { UserError } from '../protocol/errors.ts';
import { ByteReader } from './byte-reader.ts';

/** The sizes of a llama2.c checkpoint are named as in its header. */
export interface Llama2cHeader {
  /** 0 is legacy float32; 2 is int8 groups. */
  readonly version: 0 | 2;
  readonly dim: number;
  readonly hiddenDim: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabSize: number;
  readonly seqLen: number;
  /** True where the classifier is the embedding. */
  readonly sharedClassifier: boolean;
  /** Values per int8 scale; null for float32. */
  readonly groupSize: number | null;
}

/** A float32 tensor keeps llama2.c's order: RoPE pairs are (2i, 2i+1). */
export interface Llama2cTensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/**
 * The names are tok_embeddings, layers.{i}.{attention_norm,wq,wk,wv,wo,ffn_norm,w1,w2,w3}, norm and, if not shared,
 * output.
 */
export interface Llama2cCheckpoint {
  readonly header: Llama2cHeader;
  readonly tensors: ReadonlyMap<string, Llama2cTensor>;
}

const MAGIC = 0x616b3432;
const HEADER_INTS = 7;
const VERSION2_HEADER_BYTES = 256;

function readHeader(reader: ByteReader): Llama2cHeader {
  const first = reader.view.byteLength >= 4 ? reader.view.getUint32(0, true) : 0;
  if (first !== MAGIC) return checkSizes(reader, { ...readSizes(reader), version: 0, groupSize: null });
  reader.int32('the magic number');
  const version = reader.int32('the version');
  if (version !== 2) {
    throw new UserError(
      'llama2c/version',
      `${reader.path}: llama2.c checkpoint version ${version}; supported are 0 (legacy float32) and 2 (int8).`,
      'Export the model again with one of these versions.',
    );
  }
  const sizes = readSizes(reader);
  const sharedClassifier = reader.uint8('the classifier flag') !== 0;
  const groupSize = reader.int32('the group size');
  reader.slice(VERSION2_HEADER_BYTES - reader.position, 'the header');
  return checkSizes(reader, { ...sizes, version, sharedClassifier, groupSize });
}

function readSizes(reader: ByteReader): Omit<Llama2cHeader, 'version' | 'groupSize'> {
  const ints = Array.from({ length: HEADER_INTS }, () => reader.int32('the header'));
  const [dim, hiddenDim, layers, heads, kvHeads, vocab, seqLen] = ints as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  // A legacy file marks a separate classifier by a negative vocabulary size.
  return {
    dim,
    hiddenDim,
    layers,
    heads,
    kvHeads,
    vocabSize: Math.abs(vocab),
    seqLen,
    sharedClassifier: vocab > 0,
  };
}

function checkSizes(reader: ByteReader, header: Llama2cHeader): Llama2cHeader {
  const { dim, hiddenDim, layers, heads, kvHeads, vocabSize, seqLen, groupSize } = header;
  const sizes = { dim, hiddenDim, layers, heads, kvHeads, vocabSize, seqLen, groupSize: groupSize ?? 1 };
  const plausible = Object.values(sizes).every((size) => size >= 1 && size < 2 ** 24);
  const divisible = dim % heads === 0 && heads % kvHeads === 0 && (dim / heads) % 2 === 0;
  const grouped = groupSize === null || (dim % groupSize === 0 && hiddenDim % groupSize === 0);
  if (!plausible || !divisible || !grouped) {
    throw new UserError(
      'llama2c/header',
      `${reader.path}: the header gives impossible sizes ${JSON.stringify(sizes)}.`,
      'This is probably not a llama2.c checkpoint.',
    );
  }
  return header;
}

type Part = readonly [name: string, dims: readonly number[], perLayer: boolean];

function matrixParts(header: Llama2cHeader): Record<'attention' | 'ffn', readonly Part[]> {
  const { dim, hiddenDim, heads, kvHeads } = header;
  const kvDim = (dim / heads) * kvHeads;
  return {
    attention: [
      ['wq', [dim, dim], true],
      ['wk', [kvDim, dim], true],
      ['wv', [kvDim, dim], true],
      ['wo', [dim, dim], true],
    ],
    ffn: [
      ['w1', [hiddenDim, dim], true],
      ['w2', [dim, hiddenDim], true],
      ['w3', [hiddenDim, dim], true],
    ],
  };
}

/** Reads one kind of tensor for all its layers; int8 values are followed by their scales, layer by layer. */
function readPart(
  reader: ByteReader,
  tensors: Map<string, Llama2cTensor>,
  header: Llama2cHeader,
  part: Part,
  group: number | null,
): void {
  const [name, dims, perLayer] = part;
  const count = dims.reduce((product, dim) => product * dim, 1);
  for (let layer = 0; layer < (perLayer ? header.layers : 1); layer++) {
    const key = perLayer ? `layers.${layer}.${name}` : name;
    const data = group === null ? reader.floats(count, key) : readGroups(reader, count, group, key);
    tensors.set(key, { dims, data });
  }
}

/** A value is its int8 times the scale of its group; groups run along the flattened tensor. */
function readGroups(reader: ByteReader, count: number, groupSize: number, what: string): Float32Array {
  const values = new Int8Array(reader.slice(count, what).buffer);
  const scales = reader.floats(count / groupSize, `the scales of ${what}`);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = values[i]! * scales[Math.floor(i / groupSize)]!;
  return out;
}

/**
 * Parses a llama2.c checkpoint, legacy float32 (version 0) or int8 groups (version 2, dequantized here).
 * Every byte must be accounted for.
 * @throws UserError `llama2c/…`
 */
export function parseLlama2c(path: string, bytes: Uint8Array): Llama2cCheckpoint {
  const reader = new ByteReader(path, bytes);
  const header = readHeader(reader);
  const tensors = new Map<string, Llama2cTensor>();
  const read = (parts: readonly Part[], group: number | null): void => {
    for (const part of parts) readPart(reader, tensors, header, part, group);
  };
  const { dim, heads, vocabSize, seqLen, groupSize, sharedClassifier } = header;
  const { attention, ffn } = matrixParts(header);
  const attentionNorm: Part = ['attention_norm', [dim], true];
  const ffnNorm: Part = ['ffn_norm', [dim], true];
  const norm: Part = ['norm', [dim], false];
  const embedding: Part = ['tok_embeddings', [vocabSize, dim], false];
  const output: Part[] = sharedClassifier ? [] : [['output', [vocabSize, dim], false]];
  if (header.version === 0) {
    read([embedding, attentionNorm, ...attention, ffnNorm, ...ffn, norm], null);
    // No reader uses these two RoPE tables [seqLen, headDim/2].
    reader.slice(4 * seqLen * (dim / heads), 'the RoPE tables');
    read(output, null);
  } else {
    read([attentionNorm, ffnNorm, norm], null);
    read([embedding, ...attention, ...ffn, ...output], groupSize);
  }
  reader.expectEnd('the last tensor');
  return { header, tensors };
}
