export { FULL_PRECISION_BITS } from './bits.ts';
export { cellFaults, faultsOfCell } from './empty-cells.ts';
export { type Cell, type CellName, cellsOf, matrixShape } from './expand.ts';
export { matrixFaults } from './faults.ts';
export { mergeSettings } from './merge.ts';
export { clusterCells, ofChosen, type ResolvedCell, resolvedCells } from './resolve-cells.ts';
export { FULL_PRECISION_ROW, ROWS } from './rows.ts';
