import type { FileHandle } from 'node:fs/promises';
import type { DType, HostTensor, Tensor } from '../protocol/tensor.ts';
import { BYTES_PER_ELEMENT, elementCount } from '../protocol/tensor.ts';
import { writeAll, writeAtomic } from './atomic.ts';
import { SAFETENSORS_DTYPES } from './safetensors.ts';
import { assertConsistent, bytesOf, readTensor } from './tensor-io.ts';

/** A lazy tensor is made when its turn to be written comes, so a file may be larger than memory. */
export interface LazyTensor {
  readonly kind: 'lazy';
  readonly dtype: DType;
  readonly dims: readonly number[];
  load(): HostTensor | Promise<HostTensor>;
}

const TAG_OF = new Map(Object.entries(SAFETENSORS_DTYPES).map(([tag, dtype]) => [dtype, tag]));

/**
 * Writes a safetensors file atomically. The header is padded to 8 bytes and wider dtypes come first. So every tensor
 * lies on a multiple of its element size and can be mapped. Equal input gives equal bytes.
 * @param tensors host tensors, file tensors (copied) or lazy ones (one in memory at a time), by name.
 * @param alignment the data of all tensors begin at a multiple of so many bytes, itself a multiple of 8.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor | LazyTensor>>,
  metadata: Readonly<Record<string, string>> = {},
  alignment = 8,
): Promise<void> {
  const ordered = Object.entries(tensors).sort(
    ([nameA, a], [nameB, b]) =>
      BYTES_PER_ELEMENT[b.dtype] - BYTES_PER_ELEMENT[a.dtype] || (nameA < nameB ? -1 : 1),
  );
  const header = buildHeader(ordered, metadata, alignment);
  await writeAtomic(path, async (file) => {
    await writeAll(file, header);
    for (const [name, tensor] of ordered) await writeTensor(file, name, tensor);
  });
}

function buildHeader(
  ordered: readonly (readonly [string, Tensor | LazyTensor])[],
  metadata: Readonly<Record<string, string>>,
  alignment: number,
): Uint8Array {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata]);
  let begin = 0;
  for (const [name, { dtype, dims }] of ordered) {
    if (name === '__metadata__') throw new RangeError('a tensor cannot be called __metadata__');
    const end = begin + elementCount(dims) * BYTES_PER_ELEMENT[dtype];
    entries.push([name, { dtype: TAG_OF.get(dtype), shape: dims, data_offsets: [begin, end] }]);
    begin = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = Math.ceil((8 + json.length) / alignment) * alignment - 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

async function writeTensor(file: FileHandle, name: string, tensor: Tensor | LazyTensor): Promise<void> {
  const host =
    tensor.kind === 'lazy' ? await tensor.load() : tensor.kind === 'file' ? readTensor(tensor) : tensor;
  if (host.dtype !== tensor.dtype || host.dims.join() !== tensor.dims.join()) {
    throw new RangeError(
      `tensor ${name} was announced as ${tensor.dtype} [${tensor.dims}], got ${host.dtype} [${host.dims}]`,
    );
  }
  assertConsistent(name, host);
  await writeAll(file, bytesOf(host));
}
