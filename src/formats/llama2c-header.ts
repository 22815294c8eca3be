import { UserError } from '../protocol/errors.ts';
import type { ByteReader } from './byte-reader.ts';

/** The sizes of a llama2.c checkpoint are named as in its header. */
export interface Llama2cHeader {
  /** 0 is legacy float32; 1 is float32 behind a header of 256 bytes; 2 is int8 groups behind one. */
  readonly version: 0 | 1 | 2;
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

const MAGIC = 0x616b3432;
/** Headers with a version are padded to this length, and nothing of a header lies behind it. */
export const HEADER_BYTES = 256;

/**
 * Reads the header from the first bytes of a file, {@link HEADER_BYTES} where there are as many. The reader's position
 * then is where the tensors begin.
 * @throws UserError `llama2c/…`
 */
export function readLlama2cHeader(reader: ByteReader): Llama2cHeader {
  const first = reader.view.byteLength >= 4 ? reader.view.getUint32(0, true) : 0;
  if (first !== MAGIC) {
    const sizes = readSizes(reader);
    // A legacy file marks a separate classifier by a negative vocabulary size.
    const vocabSize = Math.abs(sizes.vocabSize);
    const sharedClassifier = sizes.vocabSize > 0;
    return checkSizes(reader, { ...sizes, version: 0, vocabSize, sharedClassifier, groupSize: null });
  }
  reader.int32('the magic number');
  const version = reader.int32('the version');
  if (version !== 1 && version !== 2) {
    throw new UserError(
      'llama2c/version',
      `${reader.path}: llama2.c checkpoint version ${version}; supported are 0 (legacy float32), 1 (float32) and 2 (int8).`,
      'Export the model again with one of these versions.',
    );
  }
  const sizes = readSizes(reader);
  const sharedClassifier = reader.uint8('the classifier flag') !== 0;
  const groupSize = version === 2 ? reader.int32('the group size') : null;
  reader.slice(HEADER_BYTES - reader.position, 'the header');
  return checkSizes(reader, { ...sizes, version, sharedClassifier, groupSize });
}

function readSizes(reader: ByteReader): Omit<Llama2cHeader, 'version' | 'groupSize' | 'sharedClassifier'> {
  const size = (): number => reader.int32('the header');
  // The properties are read in the order of the file.
  return {
    dim: size(),
    hiddenDim: size(),
    layers: size(),
    heads: size(),
    kvHeads: size(),
    vocabSize: size(),
    seqLen: size(),
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
