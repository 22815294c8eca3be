/** Row of the only cell of an experiment without a matrix, as a cluster is handed it. */
export const ONLY_CELL = 'experiment';

/** What a run is in the table of a matrix; null for a run of its own, also one that a job of a cluster made. */
export function tableCell<Cell extends { readonly method: string }>(record: {
  readonly cell: Cell | null;
}): Cell | null {
  return record.cell?.method === ONLY_CELL ? null : record.cell;
}
