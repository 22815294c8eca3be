import { type DType, elementCount, type HostTensor } from '../protocol/tensor.ts';
import { writeAtomic } from './atomic.ts';
import { PICKLE_OP as OP } from './pickle-values.ts';
import type { LazyTensor } from './safetensors-write.ts';
import { assertConsistent, bytesOf } from './tensor-io.ts';
import { ZipWriter } from './zip-write.ts';

/** Builds the pickle that torch.save would write, without the optional memo. */
class PickleWriter {
  private readonly bytes: number[] = [];

  op(...bytes: number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  text(value: string): this {
    const utf8 = new TextEncoder().encode(value);
    return this.op(OP.BINUNICODE, ...uint32(utf8.length), ...utf8);
  }

  /** Writes a whole number below 2³¹. */
  integer(value: number): this {
    return this.op(OP.BININT, ...uint32(value));
  }

  global(module: string, name: string): this {
    return this.op(OP.GLOBAL, ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  integers(values: readonly number[]): this {
    this.op(OP.MARK);
    for (const value of values) this.integer(value);
    return this.op(OP.TUPLE);
  }

  finish(): Uint8Array {
    return Uint8Array.from([...this.bytes, OP.STOP]);
  }
}

function uint32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/** Names of torch's storages of the types that are written. */
const STORAGES: Readonly<Partial<Record<DType, string>>> = { float32: 'FloatStorage', int8: 'CharStorage' };

/**
 * Writes a dict of tensors as `torch.save` does, atomically, so that `torch.load(path, weights_only=True)` reads it. Equal
 * input gives equal bytes.
 * @param tensors float32 or int8; lazy ones are in memory one at a time.
 */
export async function writeTorchTensors(
  path: string,
  tensors: Readonly<Record<string, HostTensor | LazyTensor>>,
): Promise<void> {
  const entries = Object.entries(tensors);
  await writeAtomic(path, async (file) => {
    const zip = new ZipWriter(file);
    // The records are not deflated: torch reads (and may map) them in place.
    const add = (name: string, bytes: Uint8Array): Promise<void> => zip.add(`archive/${name}`, bytes);
    await add('data.pkl', buildPickle(entries));
    await add('byteorder', new TextEncoder().encode('little'));
    for (const [i, [name, tensor]] of entries.entries()) {
      const host = tensor.kind === 'lazy' ? await tensor.load() : tensor;
      if (host.dtype !== tensor.dtype || host.dims.join() !== tensor.dims.join())
        throw new RangeError(`tensor ${name} was announced as ${tensor.dtype} [${tensor.dims}]`);
      assertConsistent(name, host);
      await add(`data/${i}`, bytesOf(host));
    }
    await add('version', new TextEncoder().encode('3\n'));
    await zip.finish();
  });
}

type Announced = Pick<HostTensor, 'dtype' | 'dims'>;

function buildPickle(entries: readonly (readonly [string, Announced])[]): Uint8Array {
  const pickle = new PickleWriter().op(OP.PROTO, 2, OP.EMPTY_DICT, OP.MARK);
  entries.forEach(([name, tensor], record) => {
    pickle.text(name);
    putTensor(pickle, tensor, record);
  });
  return pickle.op(OP.SETITEMS).finish();
}

/** Writes _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks). */
function putTensor(pickle: PickleWriter, { dtype, dims }: Announced, record: number): void {
  const storage = STORAGES[dtype];
  if (storage === undefined) throw new RangeError(`a tensor of ${dtype} is not written for torch`);
  pickle.global('torch._utils', '_rebuild_tensor_v2').op(OP.MARK);
  pickle.op(OP.MARK).text('storage').global('torch', storage).text(String(record)).text('cpu');
  pickle.integer(elementCount(dims)).op(OP.TUPLE, OP.BINPERSID);
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, dim) => product * dim, 1));
  pickle.integer(0).integers(dims).integers(strides).op(OP.FALSE);
  pickle.global('collections', 'OrderedDict').op(OP.EMPTY_TUPLE, OP.REDUCE).op(OP.TUPLE, OP.REDUCE);
}
