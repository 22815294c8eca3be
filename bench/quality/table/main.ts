/**
 * `npm run quality` fills the tables of docs/quality.md, each cell by the command line; started again, it goes on.
 *
 *     npm run quality -- [demo] [stories260K] [stories3M] [smollm2=FOLDER] [qwen=FOLDER]
 *         [--calibration TEXT --test TEXT] [--tasks FOLDER] [--rows NAME,…] [--seeds N,…]
 *
 * Numbers of bench/results/quality.json stay, each until it is measured again. With --write it only writes the document
 * again.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { withTables } from './document.ts';
import { type Filled, fill, SEEDS } from './fill.ts';
import { mergedWith } from './merge.ts';
import { qualityModels } from './models.ts';
import { TABLE_ROWS } from './rows.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const RESULTS = join(ROOT, 'bench', 'results', 'quality.json');
const DOCUMENT = join(ROOT, 'docs', 'quality.md');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calibration: { type: 'string' },
    test: { type: 'string' },
    tasks: { type: 'string' },
    rows: { type: 'string' },
    seeds: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const { calibration, test, tasks } = values;
const texts = calibration && test ? { calibration, test } : null;
const wanted = values.write ? [] : await qualityModels(positionals, texts, tasks ?? null);
const part = {
  rows: values.rows?.split(',') ?? TABLE_ROWS,
  seeds: values.seeds?.split(',').map(Number) ?? SEEDS,
};
for (const model of wanted) {
  const now = await fill(model, part);
  // Read behind the work: another command may have written meanwhile.
  const known = new Map(readResults().map((one) => [one.model, one]));
  known.set(model.name, mergedWith(known.get(model.name), now));
  writeFileSync(RESULTS, `${JSON.stringify([...known.values()], null, 2)}\n`);
  writeDocument();
}
if (values.write) writeDocument();

function readResults(): Filled[] {
  return existsSync(RESULTS) ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Filled[]) : [];
}

function writeDocument(): void {
  writeFileSync(DOCUMENT, withTables(readFileSync(DOCUMENT, 'utf8'), readResults()));
}
