/** Data files whose rows are a text. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readPieces, readUnits } from '../../../src/engine/calibration/text-source.ts';
import { type Row, readRows } from '../../../src/formats/rows.ts';
import { type Mutation, mutateBytes } from '../mutations/bytes.ts';
import { mutateText } from '../mutations/text.ts';
import { expectSane, type Format } from './format.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/parquet');
const LINES = Buffer.from(
  ['', 'Once', 'upon a time «ä😀»\n'].map((text, label) => `${JSON.stringify({ text, label })}\n`).join(''),
);
const LIST = Buffer.from(JSON.stringify([{ text: 'a', label: null }, { text: 'b' }], null, 2));

/** @param name of the file; its ending tells how it is read. */
function rows(format: string, name: string, originals: readonly Buffer[], mutate: Mutation): Format {
  return {
    name: format,
    async open({ dir }) {
      const path = join(dir, name);
      return {
        originals,
        mutate,
        async read(input) {
          rmSync(path, { force: true });
          writeFileSync(path, input);
          let count = 0;
          for await (const row of readRows(path)) {
            expectRow(row);
            count++;
          }
          let units = 0;
          for await (const _ of readUnits(path)) units++;
          expectSane(units === count, `${units} texts of ${count} rows`);
          for await (const piece of readPieces({ path, split: null, field: 'text', limit: 2, join: '\n' }))
            expectSane(typeof piece === 'string', 'a piece that is no text');
        },
      };
    },
  };
}

function expectRow(row: Row): void {
  expectSane(typeof row === 'object' && row !== null && !Array.isArray(row), 'a row that is no object');
}

export const ROW_FORMATS: readonly Format[] = [
  rows(
    'parquet',
    'damaged.parquet',
    ['none', 'snappy', 'gzip', 'zstd'].map((name) => readFileSync(join(FIXTURES, `${name}.parquet`))),
    mutateBytes,
  ),
  rows('jsonl', 'damaged.jsonl', [LINES, LIST], mutateText),
  rows('jsonl-gz', 'damaged.jsonl.gz', [gzipSync(LINES)], mutateBytes),
];
