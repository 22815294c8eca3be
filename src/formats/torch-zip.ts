import { readFileSync } from 'node:fs';
import { readingNow } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { messageOf, UserError } from '../protocol/errors.ts';
import type { DType, HostTensor, TensorData } from '../protocol/tensor.ts';
import { allocate, BYTES_PER_ELEMENT, elementCount } from '../protocol/tensor.ts';
import { parsePickle } from './pickle.ts';
import type { PickleValue } from './pickle-values.ts';
import { PickleCall, PickleDict, PickleGlobal, PicklePersistent, PickleTuple } from './pickle-values.ts';
import { elementCountIn, isSize } from './sizes.ts';
import type { ZipRecord } from './zip.ts';
import { readZipDirectory, unpackRecord } from './zip.ts';

const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';

const STORAGE_DTYPES: Readonly<Record<string, DType>> = {
  'torch.FloatStorage': 'float32',
  'torch.DoubleStorage': 'float64',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.CharStorage': 'int8',
};

const ALLOWED_GLOBALS = new Set([
  REBUILD_TENSOR,
  REBUILD_PARAMETER,
  'collections.OrderedDict',
  ...Object.keys(STORAGE_DTYPES),
]);

/** A file is read as a whole: rotations take some hundred MiB, 8-bit codes of a model of a billion weights 1.2 GB. */
export const MAX_UNPACKED_BYTES = 2 ** 31 - 1;
/** A description of some hundred tensors takes some ten KiB. Each of its bytes may cost the memory of an object. */
const MAX_PICKLE_BYTES = 2 ** 20;
/** Tensors may be views of one storage, and each is copied: they may be this much larger than what was saved. */
const SHARED_BYTES = 2 ** 26;

/**
 * Reads a file of `torch.save` (zip form, torch >= 1.6) that holds a dict of dense tensors of floating-point numbers or bytes. The
 * published rotations are such files: `R1` [d, d] and `model.layers.{i}.self_attn.R2` [h, h]. Nothing in the file is executed;
 * the device that a tensor was saved from is ignored; views with strides are made contiguous.
 * @returns tensors in their own dtype, in the order of the dict.
 * @throws UserError `torch/…`
 */
export function readTorchTensors(path: string): Map<string, HostTensor> {
  const archive = new Archive(path);
  const root = parsePickle(path, archive.record('data.pkl', MAX_PICKLE_BYTES), ALLOWED_GLOBALS);
  if (!(root instanceof PickleDict)) {
    throw new UserError(
      'torch/content',
      `${path} holds ${describe(root)}; a dict of tensors is expected.`,
      'Save a dict: torch.save({"R1": …, "model.layers.0.self_attn.R2": …}, path).',
    );
  }
  const tensors = new Map<string, HostTensor>();
  for (const [key, value] of root.entries) {
    if (typeof key !== 'string') throw archive.fault(`a key is ${describe(key)} instead of text`);
    tensors.set(key, archive.tensor(key, value));
  }
  return tensors;
}

function describe(value: PickleValue | undefined): string {
  if (value instanceof PickleCall) return value.callee === REBUILD_TENSOR ? 'a tensor' : `a ${value.callee}`;
  if (value instanceof PickleGlobal) return `the name ${value.name}`;
  if (value instanceof PickleTuple) return 'a tuple';
  return typeof value === 'object' && value !== null ? 'a list or dict' : JSON.stringify(value ?? null);
}

class Archive {
  private readonly path: string;
  private readonly records: ReadonlyMap<string, ZipRecord>;
  /** What was unpacked, by record and dtype. */
  private readonly storages = new Map<string, TensorData>();
  /** Bytes of the tensors so far. */
  private copiedBytes = 0;
  /** All records lie in this folder of the zip; torch names it after the file. */
  private readonly prefix: string;

  constructor(path: string) {
    this.path = path;
    this.records = directoryOf(path);
    if (this.unpackedBytes > MAX_UNPACKED_BYTES)
      throw this.fault(`it unpacks to ${this.unpackedBytes} bytes; at most ${MAX_UNPACKED_BYTES} are read`);
    const pickle = [...this.records.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
    if (pickle === undefined) throw this.fault('the zip has no data.pkl, so torch.save did not write it');
    this.prefix = pickle.slice(0, -'data.pkl'.length);
    const hasOrder = this.records.has(`${this.prefix}byteorder`);
    if (hasOrder && new TextDecoder().decode(this.record('byteorder', 100)).trim() !== 'little')
      throw this.fault('the data is not little-endian: byteorder says big-endian or something else');
  }

  fault(problem: string): UserError {
    return new UserError(
      'torch/content',
      `${this.path}: ${problem}.`,
      'Save the rotations again with torch.save as a plain dict of float tensors.',
    );
  }

  /** Unpacks a record of at most this many bytes. */
  record(name: string, limit = MAX_UNPACKED_BYTES): Uint8Array {
    const record = this.records.get(this.prefix + name);
    if (!record) throw this.fault(`the zip has no record ${name}`);
    if (record.sizeBytes > limit)
      throw this.fault(`the record ${name} has ${record.sizeBytes} bytes; at most ${limit} are read`);
    return unzipping(this.path, () => unpackRecord(record));
  }

  get unpackedBytes(): number {
    return [...this.records.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  tensor(key: string, value: PickleValue): HostTensor {
    const call = value instanceof PickleCall && value.callee === REBUILD_PARAMETER ? value.args[0] : value;
    if (!(call instanceof PickleCall) || call.callee !== REBUILD_TENSOR) {
      throw this.fault(`${key} is ${describe(call)}; a tensor is expected`);
    }
    const [reference, offset, size, stride] = call.args;
    const { dtype, data } = this.storage(key, reference);
    const dims = this.counts(key, 'size', size);
    const strides = this.counts(key, 'stride', stride);
    if (!isSize(offset) || strides.length !== dims.length || dims.length > MAX_RANK) {
      const shown = `size [${dims.slice(0, MAX_RANK)}], stride [${strides.slice(0, MAX_RANK)}]`;
      throw this.fault(`${key} has ${shown} and offset ${describe(offset)}`);
    }
    const last = dims.reduce((sum, dim, axis) => sum + (dim - 1) * strides[axis]!, offset);
    const count = elementCountIn(dims);
    if (count === null || count > data.length || (count > 0 && last >= data.length)) {
      throw this.fault(`${key} of size [${dims}] does not fit its storage of ${data.length} values`);
    }
    this.countCopy(key, count * BYTES_PER_ELEMENT[dtype]);
    return { kind: 'host', dtype, dims, data: gather(data, dtype, { offset, dims, strides }) };
  }

  private countCopy(key: string, bytes: number): void {
    this.copiedBytes += bytes;
    const allowed = SHARED_BYTES + this.unpackedBytes;
    if (this.copiedBytes > allowed)
      throw this.fault(
        `the tensors up to ${key} take ${this.copiedBytes} bytes, more than the ${allowed} that views of the records may; too many share one storage`,
      );
  }

  private counts(key: string, word: string, value: PickleValue | undefined): readonly number[] {
    const items: readonly PickleValue[] | undefined = value instanceof PickleTuple ? value.items : undefined;
    if (items?.every(isSize)) return items;
    throw this.fault(`${key} has a ${word} that is not a tuple of whole numbers`);
  }

  /** The persistent id is ('storage', type, record, device, count). */
  private storage(key: string, reference: PickleValue | undefined): { dtype: DType; data: TensorData } {
    const id = reference instanceof PicklePersistent ? reference.id : undefined;
    const [tag, type, name, , count] = id instanceof PickleTuple ? id.items : [];
    const dtype = type instanceof PickleGlobal ? STORAGE_DTYPES[type.name] : undefined;
    if (tag !== 'storage' || dtype === undefined || typeof name !== 'string' || typeof count !== 'number') {
      throw this.fault(`${key} has no storage of floating-point numbers or bytes`);
    }
    return { dtype, data: this.storageOf(key, name, dtype, count) };
  }

  /** Unpacks a storage once, however many tensors are views of it. */
  private storageOf(key: string, name: string, dtype: DType, count: number): TensorData {
    const id = `${dtype} ${name}`;
    const known = this.storages.get(id);
    if (known && known.length === count) return known;
    const bytes = this.record(`data/${name}`);
    if (bytes.length !== count * BYTES_PER_ELEMENT[dtype]) {
      throw this.fault(
        `record data/${name} has ${bytes.length} bytes; ${key} needs ${count} ${dtype} values`,
      );
    }
    const data = allocate(dtype, count);
    new Uint8Array(data.buffer).set(bytes);
    this.storages.set(id, data);
    return data;
  }
}

/** PyTorch's own limit. */
const MAX_RANK = 64;

interface View {
  readonly offset: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
}

function isContiguous(dims: readonly number[], strides: readonly number[]): boolean {
  return dims.every((dim, axis) => dim === 1 || strides[axis] === elementCount(dims.slice(axis + 1)));
}

/** Copies a strided view into a contiguous row-major array. */
function gather(data: TensorData, dtype: DType, { offset, dims, strides }: View): TensorData {
  const count = elementCount(dims);
  if (isContiguous(dims, strides)) return data.slice(offset, offset + count);
  const out = allocate(dtype, count);
  const index = new Array<number>(dims.length).fill(0);
  let from = offset;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from]!;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < dims[axis]!) break;
      from -= dims[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function directoryOf(path: string): ReadonlyMap<string, ZipRecord> {
  const bytes = readInput(path);
  // A local file header begins with "PK\3\4".
  if (bytes.length < 4 || new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) !== 0x04034b50) {
    throw new UserError(
      'torch/not-zip',
      `${path} is not a zip file, which torch.save writes since torch 1.6.`,
      'Load it and save it again with a current version of torch.',
    );
  }
  return unzipping(path, () => readZipDirectory(bytes));
}

function unzipping<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new UserError(
      'torch/zip',
      `${path} cannot be unpacked: ${messageOf(error)}.`,
      'Copy or download it again.',
    );
  }
}

function readInput(path: string): Uint8Array {
  expectKind(path, 'torch');
  return readingNow(path, () => readFileSync(path), { code: 'torch/unreadable' });
}
