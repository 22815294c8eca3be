/**
 * Looks at the pages of a parquet column before the library reads them. It believes what a damaged file claims, and
 * would then fill the memory or never end.
 */
import type { ColumnMetaData, Compressors, PageHeader, SchemaTree } from 'hyparquet';
import { UserError } from '../protocol/errors.ts';

/** Row groups of data sets have thousands of rows; one with more does not fit into memory with them. */
export const MAX_ROWS = 1 << 24;
/** Bytes of one column of one row group, unpacked. */
export const MAX_COLUMN = 1 << 29;
/** What pyarrow, Spark, DuckDB and Polars write for texts and numbers, unless told otherwise. */
const ENCODINGS: readonly string[] = ['PLAIN', 'PLAIN_DICTIONARY', 'RLE_DICTIONARY', 'RLE'];

type SecondHeader = NonNullable<PageHeader['data_page_header_v2']>;

interface Reader {
  readonly view: DataView;
  offset: number;
}

export interface ColumnBytes {
  /** Names the file in messages. */
  readonly path: string;
  readonly meta: ColumnMetaData;
  /** The schema from its root to the column. */
  readonly schemaPath: readonly SchemaTree[];
  readonly bytes: ArrayBuffer;
  /** Rows of the row group. */
  readonly rows: number;
  readonly parquetHeader: (reader: Reader) => PageHeader;
  readonly compressors: Compressors;
}

/** @throws RangeError for what cannot be; UserError `parquet/too-large`, `parquet/encoding`. */
export function checkPages(column: ColumnBytes): void {
  const { path, meta, schemaPath, bytes, rows } = column;
  const isFlat = schemaPath.length === 2;
  const reader = { view: new DataView(bytes), offset: 0 };
  let [values, unpacked] = [0, 0];
  while (reader.offset < bytes.byteLength - 1 && !(isFlat && values >= rows)) {
    const header = column.parquetHeader(reader);
    const length = asSize(header.compressed_page_size);
    if (reader.offset + length > bytes.byteLength) throw new RangeError('a page reaches beyond its column');
    unpacked += asSize(header.uncompressed_page_size);
    if (unpacked > MAX_COLUMN) throw tooLarge(path, `a column of a row group unpacks to ${unpacked} bytes`);
    values += checkPage(column, header, new Uint8Array(bytes, reader.offset, length));
    reader.offset += length;
  }
  if (isFlat ? values !== rows : values < rows)
    throw new RangeError(`column ${meta.path_in_schema.join('.')} has ${values} values for ${rows} rows`);
}

/** @returns the values of rows in it: none in a dictionary. */
function checkPage(column: ColumnBytes, header: PageHeader, packed: Uint8Array): number {
  const { path, meta } = column;
  const dictionary = header.type === 'DICTIONARY_PAGE' ? header.dictionary_page_header : undefined;
  const first = header.type === 'DATA_PAGE' ? header.data_page_header : undefined;
  const second = header.type === 'DATA_PAGE_V2' ? header.data_page_header_v2 : undefined;
  const held = dictionary ?? first ?? second;
  if (held === undefined) throw new RangeError(`a page is of the kind ${header.type}`);
  const count = asSize(held.num_values);
  if (count > MAX_ROWS) throw tooLarge(path, `a page claims ${count} values`);
  if (dictionary !== undefined) return 0;
  if (!ENCODINGS.includes(held.encoding)) throw otherEncoding(path, meta, held.encoding);
  if (second === undefined)
    checkFirst(column, unpack(column, packed, header.uncompressed_page_size), held.encoding, count);
  else checkSecond(column, second, packed, header.uncompressed_page_size);
  return count;
}

/** In the second version of pages, levels stand before what is packed. */
function checkSecond(column: ColumnBytes, header: SecondHeader, packed: Uint8Array, unpacked: number): void {
  const count = header.num_values;
  const repetitionLength = asSize(header.repetition_levels_byte_length);
  const before = repetitionLength + asSize(header.definition_levels_byte_length);
  const size = unpacked - before;
  if (before > packed.length || size < 0) throw new RangeError('levels reach beyond their page');
  if (asSize(header.num_nulls) > count) throw new RangeError('a page has more nulls than values');
  const [repetition, definition] = widthsOf(column.schemaPath);
  if (repetition > 0) checkRuns(packed.subarray(0, repetitionLength), repetition, count);
  if (definition > 0) checkRuns(packed.subarray(repetitionLength, before), definition, count);
  const rest = packed.subarray(before);
  const page = header.is_compressed === false || size === 0 ? rest : unpack(column, rest, size);
  checkValues(page, header.encoding, column.meta.type, count);
}

/** In the first version of pages, levels have their lengths before them and are packed with the values. */
function checkFirst(
  { schemaPath, meta }: ColumnBytes,
  page: Uint8Array,
  encoding: string,
  count: number,
): void {
  let rest = page;
  for (const width of widthsOf(schemaPath)) {
    if (width === 0) continue;
    const length = lengthAt(rest);
    checkRuns(rest.subarray(4), width, count);
    rest = rest.subarray(4 + length);
  }
  checkValues(rest, encoding, meta.type, count);
}

function checkValues(page: Uint8Array, encoding: string, type: string, count: number): void {
  if (encoding === 'PLAIN' || count === 0) return;
  if (type === 'BOOLEAN') {
    lengthAt(page);
    checkRuns(page.subarray(4), 1, count);
  } else if (page.length > 0) checkRuns(page.subarray(1), page[0] ?? 0, count);
}

function lengthAt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}

/** Walks over runs of equal values and of packed ones as the library does, without their values. */
function checkRuns(bytes: Uint8Array, width: number, count: number): void {
  let [at, seen] = [0, 0];
  while (seen < count && at < bytes.length) {
    let [header, shift] = [0, 0];
    for (;;) {
      const byte = bytes[at++] ?? 0;
      header |= (byte & 0x7f) << shift;
      shift += 7;
      if (!(byte & 0x80)) break;
    }
    const isPacked = (header & 1) === 1;
    const length = isPacked ? (header >> 1) * 8 : header >>> 1;
    // Only the padding of the last packed run may be more than there is.
    if (length <= 0 || length > count - seen + 7) throw new RangeError(`a run of ${length} values`);
    at += isPacked ? (length / 8) * width : (width + 7) >> 3;
    seen += length;
  }
}

/** Bits of a repetition level and of a definition level; 0 where there are none. */
function widthsOf(schemaPath: readonly SchemaTree[]): readonly [number, number] {
  const kinds = schemaPath.slice(1).map(({ element }) => element.repetition_type);
  const bits = (highest: number): number => 32 - Math.clz32(highest);
  return [
    bits(kinds.filter((kind) => kind === 'REPEATED').length),
    bits(kinds.filter((kind) => kind !== 'REQUIRED').length),
  ];
}

function unpack({ meta, compressors }: ColumnBytes, bytes: Uint8Array, size: number): Uint8Array {
  if (meta.codec === 'UNCOMPRESSED') return bytes;
  const unpacker = compressors[meta.codec];
  if (unpacker === undefined) throw new RangeError(`it is packed by ${meta.codec}`);
  return unpacker(bytes, size);
}

function asSize(value: unknown): number {
  if (typeof value === 'number' && value >= 0) return value;
  throw new RangeError(`a page claims a size of ${String(value)}`);
}

export function tooLarge(path: string, what: string): UserError {
  return new UserError(
    'parquet/too-large',
    `${path}: ${what}; that is more than is read at once.`,
    'Write it again with smaller row groups (row_group_size in pyarrow), or as JSON lines.',
  );
}

function otherEncoding(path: string, { path_in_schema: names }: ColumnMetaData, encoding: string): UserError {
  return new UserError(
    'parquet/encoding',
    `${path}: column ${names.join('.')} has the encoding ${encoding}; these are read: ${ENCODINGS.join(', ')}.`,
    'Write it again with pyarrow or DuckDB as they do by default, or as JSON lines.',
  );
}
