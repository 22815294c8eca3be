import { inflateSync } from 'fflate';

/** A file of a zip archive. Its bytes are not unpacked. */
export interface ZipRecord {
  readonly name: string;
  readonly deflated: boolean;
  /** As it lies in the archive. */
  readonly packed: Uint8Array;
  /** Length when unpacked, which {@link unpackRecord} checks. */
  readonly sizeBytes: number;
}

/** Deflate takes at least 1 bit for the longest repetition, of 258 bytes, so it is never smaller than this share. */
const LARGEST_RATIO = 1032;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
/** A comment behind the end record has at most 65535 bytes. */
const LARGEST_COMMENT = 0xffff;
const SATURATED = 0xffffffff;

/**
 * Reads the directory of a zip archive, with or without the 64-bit records that torch writes. Counts, sizes and places
 * are checked against the archive, and no two records share bytes, so unpacking costs at most 1032 times its length.
 * @throws RangeError that says what is wrong.
 */
export function readZipDirectory(archive: Uint8Array): Map<string, ZipRecord> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const { count, start, end } = readEnd(view);
  if (count * ENTRY_BYTES > end - start)
    throw new RangeError(
      `it announces ${count} records, which its directory of ${end - start} bytes cannot list`,
    );
  const records = new Map<string, ZipRecord>();
  const spans: { name: string; from: number; to: number }[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const entry = readEntry(view, at, end);
    const from = dataStart(view, entry, start);
    if (records.has(entry.name)) throw new RangeError(`record ${entry.name} is listed twice`);
    records.set(entry.name, recordOf(entry, archive.subarray(from, from + entry.packedBytes)));
    spans.push({ name: entry.name, from: entry.offset, to: from + entry.packedBytes });
    at = entry.next;
  }
  checkOverlap(spans);
  return records;
}

/** Unpacks a record. @throws RangeError when its length is not what the directory says, or its bits are no deflate stream. */
export function unpackRecord({ name, deflated, packed, sizeBytes }: ZipRecord): Uint8Array {
  if (!deflated) return packed;
  const bytes = inflateSync(packed, { out: new Uint8Array(sizeBytes) });
  if (bytes.length !== sizeBytes)
    throw new RangeError(`record ${name} unpacks to ${bytes.length} bytes instead of ${sizeBytes}`);
  return bytes;
}

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  /** Where its local header is. */
  readonly offset: number;
  /** Where the next entry of the directory is. */
  readonly next: number;
}

function recordOf({ name, method, sizeBytes }: Entry, packed: Uint8Array): ZipRecord {
  if (method !== 0 && method !== 8) throw new RangeError(`record ${name} is packed by method ${method}`);
  const deflated = method === 8;
  if (deflated ? sizeBytes > LARGEST_RATIO * packed.length : sizeBytes !== packed.length)
    throw new RangeError(`record ${name} of ${packed.length} bytes cannot hold ${sizeBytes}`);
  return { name, deflated, packed, sizeBytes };
}

/** Finds the directory: `count` entries between the bytes `start` and `end`. */
function readEnd(view: DataView): { count: number; start: number; end: number } {
  const last = view.byteLength - END_BYTES;
  let at = last;
  while (at >= 0 && last - at <= LARGEST_COMMENT && view.getUint32(at, true) !== 0x06054b50) at--;
  if (at < 0 || last - at > LARGEST_COMMENT) throw new RangeError('its directory is missing at the end');
  const wide = at >= 20 && view.getUint32(at - 20, true) === 0x07064b50 ? uint64(view, at - 12) : null;
  if (wide !== null && (wide + 56 > at || view.getUint32(wide, true) !== 0x06064b50))
    throw new RangeError('its 64-bit directory is missing at the end');
  const [count, size, start] =
    wide === null
      ? [view.getUint16(at + 10, true), view.getUint32(at + 12, true), view.getUint32(at + 16, true)]
      : [uint64(view, wide + 32), uint64(view, wide + 40), uint64(view, wide + 48)];
  const end = start + size;
  if (end > (wide ?? at)) throw new RangeError(`its directory reaches to byte ${end}, behind its own end`);
  return { count, start, end };
}

function readEntry(view: DataView, at: number, end: number): Entry {
  if (at + ENTRY_BYTES > end || view.getUint32(at, true) !== 0x02014b50)
    throw new RangeError(`its directory has no entry at byte ${at}`);
  const nameEnd = at + ENTRY_BYTES + view.getUint16(at + 28, true);
  const extraEnd = nameEnd + view.getUint16(at + 30, true);
  const next = extraEnd + view.getUint16(at + 32, true);
  if (next > end) throw new RangeError(`its directory has no entry at byte ${at}`);
  const name = new TextDecoder().decode(bytesOf(view, at + ENTRY_BYTES, nameEnd));
  if (view.getUint16(at + 8, true) & 1) throw new RangeError(`record ${name} is encrypted`);
  // A field that is full has its value, 64 bits wide, in the extra field, in this order.
  const fields = [24, 20, 42].map((offset) => view.getUint32(at + offset, true));
  let wide = wideFields(view, nameEnd, extraEnd);
  const [sizeBytes, packedBytes, offset] = fields.map((value) => {
    if (value !== SATURATED || wide === null) return value;
    if (wide + 8 > extraEnd) throw new RangeError(`record ${name} lacks its size`);
    wide += 8;
    return uint64(view, wide - 8);
  }) as [number, number, number];
  return { name, method: view.getUint16(at + 10, true), packedBytes, sizeBytes, offset, next };
}

/** Returns where the 64-bit values of an extra field begin, or null. */
function wideFields(view: DataView, start: number, end: number): number | null {
  for (let at = start; at + 4 <= end; at += 4 + view.getUint16(at + 2, true))
    if (view.getUint16(at, true) === 1) return at + 4;
  return null;
}

/** Returns where the data of a record begins, behind its local header. */
function dataStart(view: DataView, { name, offset, packedBytes }: Entry, limit: number): number {
  if (offset + 30 > limit || view.getUint32(offset, true) !== 0x04034b50)
    throw new RangeError(`record ${name} is not at byte ${offset}`);
  const from = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  if (from + packedBytes > limit)
    throw new RangeError(`record ${name} reaches to byte ${from + packedBytes} of ${limit}`);
  return from;
}

function checkOverlap(spans: { name: string; from: number; to: number }[]): void {
  const ordered = spans.sort((a, b) => a.from - b.from);
  for (const [i, { name, to }] of ordered.entries()) {
    const next = ordered[i + 1];
    if (next && to > next.from) throw new RangeError(`records ${name} and ${next.name} overlap`);
  }
}

function bytesOf(view: DataView, from: number, to: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + from, to - from);
}

/** Values that no double holds exactly lie outside of every archive, so rounding them does no harm. */
function uint64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
