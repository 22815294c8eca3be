import type { Zippable } from 'fflate';
import { zipSync } from 'fflate';
import type { HostTensor } from '../protocol/tensor.ts';
import { writeAll, writeAtomic } from './atomic.ts';
import { PICKLE_OP as OP } from './pickle-values.ts';
import { assertConsistent, bytesOf } from './tensor-io.ts';

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

/**
 * Writes a dict of float32 tensors as `torch.save` does, atomically, so that `torch.load(path, weights_only=True)`
 * reads it. Equal input gives equal bytes.
 */
export async function writeTorchTensors(
  path: string,
  tensors: Readonly<Record<string, HostTensor<Float32Array>>>,
): Promise<void> {
  const entries = Object.entries(tensors);
  const files: Zippable = {};
  // The records are not deflated: torch reads (and may map) them in place. The date is the earliest that zip allows.
  const add = (name: string, bytes: Uint8Array): void => {
    files[`archive/${name}`] = [bytes, { level: 0, mtime: new Date(1980, 0, 1) }];
  };
  add('data.pkl', buildPickle(entries));
  add('byteorder', new TextEncoder().encode('little'));
  entries.forEach(([name, tensor], i) => {
    assertConsistent(name, tensor);
    add(`data/${i}`, bytesOf(tensor));
  });
  add('version', new TextEncoder().encode('3\n'));
  await writeAtomic(path, (file) => writeAll(file, zipSync(files)));
}

function buildPickle(entries: readonly (readonly [string, HostTensor<Float32Array>])[]): Uint8Array {
  const pickle = new PickleWriter().op(OP.PROTO, 2, OP.EMPTY_DICT, OP.MARK);
  entries.forEach(([name, tensor], record) => {
    pickle.text(name);
    putTensor(pickle, tensor, record);
  });
  return pickle.op(OP.SETITEMS).finish();
}

/** Writes _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks). */
function putTensor(pickle: PickleWriter, { dims, data }: HostTensor<Float32Array>, record: number): void {
  pickle.global('torch._utils', '_rebuild_tensor_v2').op(OP.MARK);
  pickle.op(OP.MARK).text('storage').global('torch', 'FloatStorage').text(String(record)).text('cpu');
  pickle.integer(data.length).op(OP.TUPLE, OP.BINPERSID);
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, dim) => product * dim, 1));
  pickle.integer(0).integers(dims).integers(strides).op(OP.FALSE);
  pickle.global('collections', 'OrderedDict').op(OP.EMPTY_TUPLE, OP.REDUCE).op(OP.TUPLE, OP.REDUCE);
}
