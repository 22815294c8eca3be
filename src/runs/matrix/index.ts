export { type CellStatus, collectCells, type TableCell } from './collect.ts';
export { formatMatrix, TABLE_FORMATS, type TableFormat } from './formats/index.ts';
export { type CellDocument, cellDocuments, tableDocument } from './formats/json.ts';
export {
  publishedHeading,
  publishedMetrics,
  publishedNotes,
  publishedText,
  spreadText,
} from './formats/words.ts';
export { type Published, type PublishedValue, publishedFor } from './published/index.ts';
export {
  type MatrixTable,
  type Measured,
  type Metric,
  measuredIn,
  type Spread,
  spreadOf,
  type TableRow,
  tableOf,
} from './summary.ts';
