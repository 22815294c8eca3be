/** Zip archives whose records are not deflated, written one after the other: an archive may be larger than memory. */
import type { FileHandle } from 'node:fs/promises';
import { writeAll } from './atomic.ts';

const LOCAL_BYTES = 30;
const ENTRY_BYTES = 46;
/** torch maps records in place, and begins each at a multiple of this. */
const ALIGNMENT = 64;
/** The tag of torch's own padding in an extra field. */
const PADDING_TAG = 0x4246;
const SATURATED = 0xffffffff;
/** The earliest date that zip has, 1980-01-01: equal input gives equal bytes. */
const EARLIEST = (1 << 5) | 1;

interface Written {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

export class ZipWriter {
  readonly #file: FileHandle;
  readonly #written: Written[] = [];
  #at = 0;

  /** @param file open for writing, at its beginning. */
  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @param bytes fewer than 4 GiB. */
  async add(name: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length >= SATURATED) throw new RangeError(`record ${name} has ${bytes.length} bytes`);
    const record = {
      name: new TextEncoder().encode(name),
      crc: crc32(bytes),
      size: bytes.length,
      offset: this.#at,
    };
    this.#written.push(record);
    await this.#put(localHeader(record));
    await this.#put(bytes);
  }

  /** Writes the directory, with 64-bit places where an archive is long. */
  async finish(): Promise<void> {
    const start = this.#at;
    for (const record of this.#written) await this.#put(directoryEntry(record));
    await this.#put(endRecords(this.#written.length, start, this.#at - start));
  }

  async #put(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#file, bytes);
    this.#at += bytes.length;
  }
}

/** The header, with so much padding that the data behind it are aligned. */
function localHeader({ name, crc, size, offset }: Written): Uint8Array {
  const unpadded = offset + LOCAL_BYTES + name.length + 4;
  const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
  const header = new Uint8Array(LOCAL_BYTES + name.length + 4 + padding);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, 20, true);
  putFields(view, 10, { crc, size, name: name.length, extra: 4 + padding });
  header.set(name, LOCAL_BYTES);
  view.setUint16(LOCAL_BYTES + name.length, PADDING_TAG, true);
  view.setUint16(LOCAL_BYTES + name.length + 2, padding, true);
  return header;
}

interface Fields {
  readonly crc: number;
  readonly size: number;
  readonly name: number;
  readonly extra: number;
}

/** Time, date, CRC, both sizes and both lengths, which headers and entries have in the same order. */
function putFields(view: DataView, at: number, { crc, size, name, extra }: Fields): void {
  view.setUint16(at + 2, EARLIEST, true);
  view.setUint32(at + 4, crc, true);
  view.setUint32(at + 8, size, true);
  view.setUint32(at + 12, size, true);
  view.setUint16(at + 16, name, true);
  view.setUint16(at + 18, extra, true);
}

function directoryEntry({ name, crc, size, offset }: Written): Uint8Array {
  const isFar = offset >= SATURATED;
  const extra = isFar ? 12 : 0;
  const entry = new Uint8Array(ENTRY_BYTES + name.length + extra);
  const view = new DataView(entry.buffer);
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, isFar ? 45 : 20, true);
  view.setUint16(6, isFar ? 45 : 20, true);
  putFields(view, 12, { crc, size, name: name.length, extra });
  view.setUint32(42, isFar ? SATURATED : offset, true);
  entry.set(name, ENTRY_BYTES);
  if (isFar) {
    view.setUint16(ENTRY_BYTES + name.length, 1, true);
    view.setUint16(ENTRY_BYTES + name.length + 2, 8, true);
    view.setBigUint64(ENTRY_BYTES + name.length + 4, BigInt(offset), true);
  }
  return entry;
}

/** The end of the directory, behind its 64-bit form where it begins far away. */
function endRecords(count: number, start: number, size: number): Uint8Array {
  const isFar = start >= SATURATED;
  const wide = isFar ? 76 : 0;
  const end = new Uint8Array(wide + 22);
  const view = new DataView(end.buffer);
  if (isFar) {
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    for (const [at, value] of [
      [24, count],
      [32, count],
      [40, size],
      [48, start],
    ] as const)
      view.setBigUint64(at, BigInt(value), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(start + size), true);
    view.setUint32(72, 1, true);
  }
  view.setUint32(wide, 0x06054b50, true);
  view.setUint16(wide + 8, count, true);
  view.setUint16(wide + 10, count, true);
  view.setUint32(wide + 12, size, true);
  view.setUint32(wide + 16, isFar ? SATURATED : start, true);
  return end;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of zip (polynomial 0xEDB88320, reflected). */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
