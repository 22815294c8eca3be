/** Little llama2.c files, built value by value from the description of the format. */

export interface Sizes {
  readonly dim: number;
  readonly hiddenDim: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabSize: number;
  readonly seqLen: number;
}

/** Two query heads of width 4 share one key-value head. */
export const TINY: Sizes = {
  dim: 8,
  hiddenDim: 12,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  vocabSize: 262,
  seqLen: 16,
};

/** A legacy header, as long as all that stands before its tensors. */
export function header(
  { dim, hiddenDim, layers, heads, kvHeads, vocabSize, seqLen }: Sizes,
  vocabSign = 1,
): Buffer {
  const ints = [dim, hiddenDim, layers, heads, kvHeads, vocabSign * vocabSize, seqLen];
  return Buffer.from(Int32Array.from(ints).buffer);
}

function matrixSizes(s: Sizes): Record<string, number> {
  const kvDim = (s.dim / s.heads) * s.kvHeads;
  const attention = { wq: s.dim * s.dim, wk: kvDim * s.dim, wv: kvDim * s.dim, wo: s.dim * s.dim };
  return { ...attention, w1: s.hiddenDim * s.dim, w2: s.dim * s.hiddenDim, w3: s.hiddenDim * s.dim };
}

/** Version 0. Every float is its own running number, so a shift by one is seen. */
export function legacyCheckpoint(s: Sizes, sharedClassifier = true): Buffer {
  const floats: number[] = [];
  const put = (count: number): void => {
    for (let i = 0; i < count; i++) floats.push(floats.length);
  };
  const m = matrixSizes(s);
  put(s.vocabSize * s.dim);
  put(s.layers * s.dim);
  for (const name of ['wq', 'wk', 'wv', 'wo']) put(s.layers * m[name]!);
  put(s.layers * s.dim);
  for (const name of ['w1', 'w2', 'w3']) put(s.layers * m[name]!);
  put(s.dim);
  put(s.seqLen * (s.dim / s.heads));
  if (!sharedClassifier) put(s.vocabSize * s.dim);
  return Buffer.concat([header(s, sharedClassifier ? 1 : -1), Buffer.from(Float32Array.from(floats).buffer)]);
}

/** The header of a file with a version, 256 bytes. */
function versioned(version: number, s: Sizes, sharedClassifier: boolean): Buffer {
  const start = Buffer.alloc(256);
  start.writeUInt32LE(0x616b3432, 0);
  start.writeInt32LE(version, 4);
  header(s).copy(start, 8);
  start.writeUInt8(sharedClassifier ? 1 : 0, 36);
  return start;
}

/** Version 1. Every float is its own running number. */
export function floatCheckpoint(s: Sizes, sharedClassifier = true): Buffer {
  const matrices = Object.values(matrixSizes(s)).reduce((sum, count) => sum + s.layers * count, 0);
  const embeddings = (sharedClassifier ? 1 : 2) * s.vocabSize * s.dim;
  const floats = Float32Array.from(
    { length: (2 * s.layers + 1) * s.dim + embeddings + matrices },
    (_, i) => i,
  );
  return Buffer.concat([versioned(1, s, sharedClassifier), Buffer.from(floats.buffer)]);
}

/** Version 2. Norms count up; int8 values are (index mod 7) − 3 and the scale of group g of a tensor is g + 1. */
export function int8Checkpoint(s: Sizes, groupSize: number, sharedClassifier = true): Buffer {
  const start = versioned(2, s, sharedClassifier);
  start.writeInt32LE(groupSize, 37);
  const norms = Float32Array.from({ length: (2 * s.layers + 1) * s.dim }, (_, i) => i);
  const quantized = (count: number): Buffer =>
    Buffer.concat([
      Buffer.from(Int8Array.from({ length: count }, (_, i) => (i % 7) - 3).buffer),
      Buffer.from(Float32Array.from({ length: count / groupSize }, (_, g) => g + 1).buffer),
    ]);
  const parts = [start, Buffer.from(norms.buffer), quantized(s.vocabSize * s.dim)];
  for (const count of Object.values(matrixSizes(s))) {
    for (let layer = 0; layer < s.layers; layer++) parts.push(quantized(count));
  }
  if (!sharedClassifier) parts.push(quantized(s.vocabSize * s.dim));
  return Buffer.concat(parts);
}

export function tokenizerFile(pieces: readonly (readonly [text: string | Buffer, score: number])[]): Buffer {
  const parts = [Buffer.from(Int32Array.of(16).buffer)];
  for (const [text, score] of pieces) {
    const bytes = Buffer.from(text);
    parts.push(
      Buffer.from(Float32Array.of(score).buffer),
      Buffer.from(Int32Array.of(bytes.length).buffer),
      bytes,
    );
  }
  return Buffer.concat(parts);
}

/** Unknown, BOS, EOS, the 256 bytes, then these. */
export function vocabulary(texts: readonly (string | readonly [string, number])[]): [string, number][] {
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const fixed = ['<unk>', '\n<s>\n', '\n</s>\n', ...bytes].map((text): [string, number] => [text, 0]);
  return [
    ...fixed,
    ...texts.map((x, i): [string, number] => (typeof x === 'string' ? [x, -i] : [x[0], x[1]])),
  ];
}
