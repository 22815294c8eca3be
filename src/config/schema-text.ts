/** Where a text comes from: a file, or rows of data files. */
import { z } from 'zod';

export const filePath = z.string().min(1).max(4096);

const path = filePath.describe(
  'A text file, JSON lines (*.jsonl, *.json, also with .gz), a parquet file, a folder with such files, or a data set on the Hub: hf://datasets/NAME/FOLDER. Relative to this file.',
);

const rows = {
  path,
  split: z
    .string()
    .min(1)
    .max(100)
    .nullable()
    .default(null)
    .describe(
      'The split of a folder or data set, for example "test"; null where there is only one. Reference: "train" to calibrate, "test" to measure.',
    ),
  field: z
    .string()
    .min(1)
    .max(200)
    .default('text')
    .describe('The field of a row that holds the text. Plain text has none. Reference: "text".'),
  limit: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .nullable()
    .default(null)
    .describe(
      'At most this many rows, or lines of plain text, from the first on; null for all. Reference: null.',
    ),
};

const calibrationObject = z
  .strictObject(rows)
  .describe('Rows of data files. Each row is tokenized on its own, and blank ones give nothing.');

const evaluationObject = z
  .strictObject({
    ...rows,
    join: z
      .string()
      .max(100)
      .default('\n\n')
      .describe(
        'This stands between two rows, blank rows included. Reference: "\\n\\n", two newlines between all rows of WikiText-2.',
      ),
  })
  .describe('Rows of data files, joined to one text.');

/** A text that is learned on: a path, or a part of data files. */
export const calibrationText = z.union([filePath, calibrationObject]);
/** A text that is measured on: the same, and what joins its rows. */
export const evaluationText = z.union([filePath, evaluationObject]);

type CalibrationText = z.output<typeof calibrationText>;
type EvaluationText = z.output<typeof evaluationText>;
export type TextSource = CalibrationText | EvaluationText;

/** The path, or the address on the Hub, that a source names. */
export function pathOf(source: TextSource): string {
  return typeof source === 'string' ? source : source.path;
}

/** The same source at another path. */
export function withPath<S extends TextSource>(source: S, map: (path: string) => string): S;
export function withPath(source: TextSource, map: (path: string) => string): TextSource {
  return typeof source === 'string' ? map(source) : { ...source, path: map(source.path) };
}

/** Names a source for people: `data/wikitext (test)`. */
export function describeText(source: TextSource): string {
  if (typeof source === 'string' || source.split === null) return pathOf(source);
  return `${source.path} (${source.split})`;
}
