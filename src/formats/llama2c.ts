import { closeSync, fstatSync, openSync } from 'node:fs';
import { readingNow } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { UserError } from '../protocol/errors.ts';
import type { HostTensor } from '../protocol/tensor.ts';
import { elementCount, float32 } from '../protocol/tensor.ts';
import { ByteReader } from './byte-reader.ts';
import type { Llama2cHeader } from './llama2c-header.ts';
import { HEADER_BYTES, readLlama2cHeader } from './llama2c-header.ts';
import { readBytes, readFully } from './tensor-io.ts';

export type { Llama2cHeader } from './llama2c-header.ts';

/** A tensor of a checkpoint keeps llama2.c's order: RoPE pairs are (2i, 2i+1). Its data stays in the file. */
export interface Llama2cTensor {
  readonly dims: readonly number[];
  readonly path: string;
  readonly byteOffset: number;
  /** Values per int8 scale; the scales follow the values. Null for float32. */
  readonly groupSize: number | null;
}

/**
 * The names are tok_embeddings, layers.{i}.{attention_norm,wq,wk,wv,wo,ffn_norm,w1,w2,w3}, norm and, if not shared,
 * output.
 */
export interface Llama2cCheckpoint {
  readonly path: string;
  readonly header: Llama2cHeader;
  readonly tensors: ReadonlyMap<string, Llama2cTensor>;
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

/** Finds where each tensor lies. Positions are counted, so a file may have any length. */
class Layout {
  readonly path: string;
  readonly sizeBytes: number;
  readonly tensors = new Map<string, Llama2cTensor>();
  position: number;

  constructor(path: string, sizeBytes: number, start: number) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.position = start;
  }

  skip(length: number, what: string): void {
    const end = this.position + length;
    if (end > this.sizeBytes)
      throw new UserError(
        'llama2c/truncated',
        `${this.path}: ${what} needs bytes ${this.position} to ${end} but the file has ${this.sizeBytes}.`,
        'The file is incomplete, or it is not a llama2.c file: copy or download it again.',
      );
    this.position = end;
  }

  /** Adds kinds of tensors; each is there for all its layers before the next begins. */
  add(parts: readonly Part[], layers: number, groupSize: number | null): void {
    for (const [name, dims, perLayer] of parts) {
      const count = elementCount(dims);
      for (let layer = 0; layer < (perLayer ? layers : 1); layer++) {
        const key = perLayer ? `layers.${layer}.${name}` : name;
        this.tensors.set(key, { dims, path: this.path, byteOffset: this.position, groupSize });
        this.skip(groupSize === null ? 4 * count : count, key);
        if (groupSize !== null) this.skip((4 * count) / groupSize, `the scales of ${key}`);
      }
    }
  }

  expectEnd(): void {
    const rest = this.sizeBytes - this.position;
    if (rest === 0) return;
    throw new UserError(
      'llama2c/rest',
      `${this.path}: ${rest} bytes are left after the last tensor.`,
      'The file does not have the layout that its header announces; it may be damaged or of another version.',
    );
  }
}

/**
 * Reads the header of a llama2.c checkpoint, float32 (versions 0 and 1) or int8 groups (version 2), and finds its
 * tensors. Every byte must be accounted for; the tensors' data is not read.
 * @throws UserError `llama2c/…`
 */
export function readLlama2c(path: string): Llama2cCheckpoint {
  const { start, sizeBytes } = readStart(path);
  const reader = new ByteReader(path, start);
  const header = readLlama2cHeader(reader);
  const layout = new Layout(path, sizeBytes, reader.position);
  const { dim, heads, vocabSize, seqLen, groupSize, sharedClassifier, layers } = header;
  const { attention, ffn } = matrixParts(header);
  const attentionNorm: Part = ['attention_norm', [dim], true];
  const ffnNorm: Part = ['ffn_norm', [dim], true];
  const norm: Part = ['norm', [dim], false];
  const embedding: Part = ['tok_embeddings', [vocabSize, dim], false];
  const output: Part[] = sharedClassifier ? [] : [['output', [vocabSize, dim], false]];
  if (header.version === 0) {
    layout.add([embedding, attentionNorm, ...attention, ffnNorm, ...ffn, norm], layers, null);
    // No reader uses these two RoPE tables [seqLen, headDim/2].
    layout.skip(4 * seqLen * (dim / heads), 'the RoPE tables');
    layout.add(output, layers, null);
  } else {
    layout.add([attentionNorm, ffnNorm, norm], layers, null);
    layout.add([embedding, ...attention, ...ffn, ...output], layers, groupSize);
  }
  layout.expectEnd();
  return { path, header, tensors: layout.tensors };
}

function readStart(path: string): { start: Uint8Array; sizeBytes: number } {
  expectKind(path, 'binary');
  const fd = readingNow(path, () => openSync(path, 'r'), { code: 'import/unreadable' });
  try {
    const sizeBytes = fstatSync(fd).size;
    const start = new Uint8Array(Math.min(HEADER_BYTES, sizeBytes));
    readFully(fd, start, 0, path);
    return { start, sizeBytes };
  } finally {
    closeSync(fd);
  }
}

/** Reads a tensor as float32. An int8 value is multiplied by the scale of its group; groups run along the flattened tensor. */
export function readLlama2cTensor(tensor: Llama2cTensor): HostTensor<Float32Array> {
  const { dims, path, byteOffset, groupSize } = tensor;
  const count = elementCount(dims);
  if (groupSize === null) return float32(dims, readFloats(path, byteOffset, count));
  const values = readBytes(path, byteOffset, count);
  const scales = readFloats(path, byteOffset + count, count / groupSize);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = ((values[i]! << 24) >> 24) * scales[Math.floor(i / groupSize)]!;
  return float32(dims, out);
}

function readFloats(path: string, byteOffset: number, count: number): Float32Array {
  return new Float32Array(readBytes(path, byteOffset, 4 * count).buffer as ArrayBuffer);
}
