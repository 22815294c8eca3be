export { type CellStatus, cellsOfRuns, collectCells, type TableCell } from './collect.ts';
export { formatMatrix, TABLE_FORMATS, type TableFormat } from './formats/index.ts';
export { type CellDocument, cellDocuments } from './formats/json.ts';
export { spreadText } from './formats/words.ts';
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
