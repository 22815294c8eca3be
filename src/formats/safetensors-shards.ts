import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BYTES_PER_ELEMENT, elementCount, type Tensor } from '../protocol/tensor.ts';
import { type LazyTensor, writeSafetensors } from './safetensors-write.ts';

/** transformers writes files of at most this many bytes by default. */
const SHARD_BYTES = 5e9;

type Tensors = Readonly<Record<string, Tensor | LazyTensor>>;

/**
 * Writes the weights of a model folder: `model.safetensors`, or numbered files and `model.safetensors.index.json` when
 * one would be longer than `shardBytes`. A single tensor is never divided.
 */
export async function writeModelWeights(
  folder: string,
  tensors: Tensors,
  shardBytes = SHARD_BYTES,
): Promise<void> {
  const shards = divide(tensors, shardBytes);
  if (shards.length <= 1) {
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
    return;
  }
  const number = (n: number): string => String(n).padStart(5, '0');
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    await writeSafetensors(join(folder, file), shard, { format: 'pt' });
    for (const name of Object.keys(shard)) weightMap[name] = file;
  }
  const total = Object.values(tensors).reduce((sum, tensor) => sum + sizeOf(tensor), 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  await writeFile(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
}

function sizeOf({ dtype, dims }: Tensor | LazyTensor): number {
  return elementCount(dims) * BYTES_PER_ELEMENT[dtype];
}

function divide(tensors: Tensors, shardBytes: number): Record<string, Tensor | LazyTensor>[] {
  const shards: Record<string, Tensor | LazyTensor>[] = [];
  let room = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const size = sizeOf(tensor);
    if (shards.length === 0 || size > room) {
      shards.push({});
      room = shardBytes;
    }
    shards.at(-1)![name] = tensor;
    room -= size;
  }
  return shards;
}
