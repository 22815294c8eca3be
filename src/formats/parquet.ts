/** Rows of parquet files, one row group in memory at a time. The library reads; sizes are checked before. */
import { type FileHandle, open } from 'node:fs/promises';
import type { AsyncBuffer, ColumnChunk, FileMetaData, SchemaTree } from 'hyparquet';
import { reading } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { Cancelled, messageOf, throwIfCancelled, UserError } from '../protocol/errors.ts';
import { checkPages, MAX_COLUMN, MAX_ROWS, tooLarge } from './parquet-pages.ts';
import type { PlacedRow, Row, RowOptions } from './rows.ts';

/** The footer of a file with thousands of row groups has some megabytes. */
const MAX_FOOTER = 1 << 26;
const FOOTER_TAIL = 8;
const AGAIN = 'The file is cut short or damaged: download it again.';

type Library = typeof import('hyparquet') &
  Pick<typeof import('hyparquet/src/column.js'), 'parquetHeader'> &
  Pick<typeof import('hyparquet-compressors'), 'compressors'>;

/** A parquet file that is open. */
interface Parquet {
  readonly path: string;
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly schema: SchemaTree;
  readonly library: Library;
}

/**
 * Reads a parquet file, one row group after the other.
 * @throws UserError `parquet/damaged`, `parquet/too-large`, `rows/no-field`, besides those of reading a file.
 */
export async function* readParquetRows(
  path: string,
  { fields, signal }: RowOptions,
): AsyncGenerator<PlacedRow, void> {
  expectKind(path, 'parquet');
  const library = await loadLibrary();
  const handle = await reading(path, () => open(path, 'r'));
  try {
    const file = await bufferOf(path, handle);
    const metadata = await inWords(path, () => readMetadata(path, file, library));
    const schema = await inWords(path, async () => library.parquetSchema(metadata));
    const parquet = { path, file, metadata, schema, library };
    const columns = columnsOf(parquet, fields);
    let rowStart = 0;
    for (const index of metadata.row_groups.keys()) {
      throwIfCancelled(signal);
      const subject = `${path}: row group ${index + 1} of ${metadata.row_groups.length}`;
      const rows = await inWords(subject, () => readGroup(parquet, index, columns, rowStart));
      for (const [at, row] of rows.entries()) yield { row, place: `${path}: row ${rowStart + at + 1}` };
      rowStart += rows.length;
    }
  } finally {
    await handle.close();
  }
}

/** It is loaded when the first parquet file is read. */
async function loadLibrary(): Promise<Library> {
  const [library, { parquetHeader }, { compressors }] = await Promise.all([
    import('hyparquet'),
    import('hyparquet/src/column.js'),
    import('hyparquet-compressors'),
  ]);
  return { ...library, parquetHeader, compressors };
}

async function bufferOf(path: string, handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await reading(path, () => handle.stat());
  return {
    byteLength: size,
    async slice(start, end = size) {
      if (!(start >= 0 && start <= end && end <= size))
        throw new RangeError(`bytes ${start} to ${end} are asked for, and it has ${size}`);
      const bytes = Buffer.from(new ArrayBuffer(end - start));
      const { bytesRead } = await reading(path, () => handle.read(bytes, 0, bytes.length, start));
      if (bytesRead < bytes.length) throw new RangeError(`it ends at byte ${start + bytesRead}`);
      return bytes.buffer;
    },
  };
}

async function readMetadata(path: string, file: AsyncBuffer, library: Library): Promise<FileMetaData> {
  if (file.byteLength < 2 * FOOTER_TAIL) throw new RangeError(`it has ${file.byteLength} bytes`);
  const tail = Buffer.from(await file.slice(file.byteLength - FOOTER_TAIL));
  if (tail.toString('latin1', 4) !== 'PAR1') throw new RangeError('it has no footer at its end');
  const footer = tail.readUInt32LE();
  if (footer > MAX_FOOTER) throw tooLarge(path, `its footer claims ${footer} bytes`);
  return library.parquetMetadataAsync(file, { geoparquet: false });
}

/** The wanted columns; null for all. */
function columnsOf({ path, schema }: Parquet, fields: readonly string[] | undefined) {
  const names = schema.children.map(({ element }) => element.name);
  const missing = fields?.find((field) => !names.includes(field));
  if (missing === undefined) return fields ? [...fields] : null;
  throw new UserError(
    'rows/no-field',
    `${path} has no field "${missing}"; its fields are ${names.map((name) => `"${name}"`).join(', ')}.`,
    'Name one of these as "field".',
  );
}

async function readGroup(
  parquet: Parquet,
  index: number,
  columns: string[] | null,
  rowStart: number,
): Promise<Row[]> {
  const { path, file, metadata, library } = parquet;
  const group = metadata.row_groups[index]!;
  const count = Number(group.num_rows);
  if (!(count >= 0 && count <= MAX_ROWS)) throw tooLarge(path, `row group ${index + 1} claims ${count} rows`);
  for (const chunk of group.columns) {
    const name = chunk.meta_data?.path_in_schema[0];
    if (columns === null || (name !== undefined && columns.includes(name)))
      await checkColumn(parquet, chunk, count);
  }
  const rows: Row[] = await library.parquetReadObjects({
    file,
    metadata,
    rowStart,
    rowEnd: rowStart + count,
    compressors: library.compressors,
    geoparquet: false,
    ...(columns && { columns }),
  });
  if (rows.length !== count) throw new RangeError(`it has ${rows.length} rows instead of ${count}`);
  return rows.map((row) => withNumbers(row));
}

/** @throws what {@link checkPages} does. */
async function checkColumn(parquet: Parquet, chunk: ColumnChunk, rows: number): Promise<void> {
  const { path, file, schema, library } = parquet;
  const { meta_data: meta } = chunk;
  if (meta === undefined) throw new RangeError('a column has no description');
  const begin = Number(meta.dictionary_page_offset || meta.data_page_offset);
  const length = Number(meta.total_compressed_size);
  if (length > MAX_COLUMN) throw tooLarge(path, `a column of a row group has ${length} bytes`);
  const bytes = await file.slice(begin, begin + length);
  const { parquetHeader, compressors } = library;
  const schemaPath = schemaPathOf(schema, meta.path_in_schema);
  checkPages({ path, meta, schemaPath, bytes, rows, parquetHeader, compressors });
}

function schemaPathOf(root: SchemaTree, names: readonly string[]): SchemaTree[] {
  const path = [root];
  for (const name of names) {
    const child = path.at(-1)?.children.find(({ element }) => element.name === name);
    if (child === undefined) throw new RangeError(`the schema has no column ${names.join('.')}`);
    path.push(child);
  }
  return path;
}

/** Whole numbers of 64 bits as numbers, where these hold them. */
function withNumbers<T>(value: T): T {
  return numbers(value) as T; // Only the representation of numbers differs.
}

function numbers(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(numbers);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, numbers(inner)]));
}

/** Whatever the library stumbles over is damage: what it reads is a file of others. */
async function inWords<T>(subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UserError || error instanceof Cancelled) throw error;
    throw new UserError('parquet/damaged', `${subject} cannot be read: ${messageOf(error)}.`, AGAIN);
  }
}
