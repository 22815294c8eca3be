export { type Spread, spreadOf } from '../../protocol/spread.ts';
export {
  type CellCount,
  type CellStatus,
  cellsOfRuns,
  collectCells,
  countCells,
  countOf,
  type MixedBits,
  type TableCell,
  variantOfRow,
} from './collect.ts';
export { formatMatrix, TABLE_FORMATS, type TableFormat } from './formats/index.ts';
export { type CellDocument, cellDocuments, tableDocument } from './formats/json.ts';
export {
  averageBitsText,
  mixedNotes,
  publishedHeading,
  publishedMetrics,
  publishedNotes,
  publishedNumber,
  publishedText,
  remarksOf,
  spreadText,
  tableNotes,
} from './formats/words.ts';
export { type Measured, type Metric, measuredIn } from './measured.ts';
export { type Published, type PublishedValue, publishedFor } from './published/index.ts';
export {
  type MatrixTable,
  type TableRow,
  tableOf,
  withoutPublished,
} from './summary.ts';
