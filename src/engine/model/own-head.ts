import { statSync } from 'node:fs';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { BYTES_PER_ELEMENT, elementCount, type FileTensor } from '../../protocol/tensor.ts';
import type { ModelWarning } from './checkpoint.ts';
import type { ConfigFile } from './config.ts';
import type { StoredTensors } from './stored-tensors.ts';
import { EMBEDDING_NAME, LM_HEAD_NAME } from './weights.ts';

/** Elements that are compared at a time, so that others get a turn. */
const PIECE = 1 << 18;

/**
 * The warning of an output layer of its own beside `tie_word_embeddings`: it is kept, as transformers 5 does. Null where
 * the model is not tied, or where the layer equals the embedding.
 * @param stored its tensors were checked.
 */
export async function headWarning(
  { path, config }: ConfigFile,
  { tensors }: StoredTensors,
): Promise<ModelWarning | null> {
  const head = tensors.get(LM_HEAD_NAME);
  const embedding = tensors.get(EMBEDDING_NAME);
  if (!config.tiedEmbeddings || !head || !embedding) return null;
  const at = await rememberedDifference(head, embedding);
  if (at < 0) return null;
  const row = Math.floor(at / config.hiddenSize);
  return {
    code: 'model/own-head',
    message: `${path} says "tie_word_embeddings": true, but ${LM_HEAD_NAME} differs from ${EMBEDDING_NAME} (first in row ${row}). The output layer of its own is kept, as transformers 5 does; transformers 4 would use the embedding.`,
    hint: `Set "tie_word_embeddings": false in config.json, or remove ${LM_HEAD_NAME} if the embedding is right.`,
  };
}

let remembered: { readonly key: string; readonly at: number } | null = null;

/** An experiment is checked at every pause in typing, and equal tables are read to their end. */
async function rememberedDifference(head: FileTensor, embedding: FileTensor): Promise<number> {
  const times = [head, embedding].map(({ path }) => [path, statSync(path).mtimeMs]);
  const key = JSON.stringify([head, embedding, times]);
  if (remembered?.key !== key) remembered = { key, at: await firstDifference(head, embedding) };
  return remembered.at;
}

/** Returns the first flat index at which the values, as float32, differ; −1 where none does. */
async function firstDifference(a: FileTensor, b: FileTensor): Promise<number> {
  const count = elementCount(a.dims);
  for (let begin = 0; begin < count; begin += PIECE) {
    await new Promise(setImmediate);
    const length = Math.min(PIECE, count - begin);
    const [left, right] = [valuesOf(a, begin, length), valuesOf(b, begin, length)];
    const index = left.findIndex((value, i) => differ(value, right[i]!));
    if (index >= 0) return begin + index;
  }
  return -1;
}

const differ = (a: number, b: number): boolean => a !== b && !(Number.isNaN(a) && Number.isNaN(b));

function valuesOf(tensor: FileTensor, begin: number, length: number): Float32Array {
  const size = BYTES_PER_ELEMENT[tensor.dtype];
  return toFloat32(
    readTensor({
      ...tensor,
      dims: [length],
      byteOffset: tensor.byteOffset + begin * size,
      byteLength: length * size,
    }),
  );
}
