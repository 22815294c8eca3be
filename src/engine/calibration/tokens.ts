/** The label of a position that predicts nothing: the last of a sequence. */
const NO_LABEL = -1;

/** The token after each position, inside its own sequence. */
export function nextTokens(ids: Int32Array, sequence: number): Int32Array {
  return ids.map((_, position) =>
    (position + 1) % sequence === 0 ? NO_LABEL : (ids[position + 1] ?? NO_LABEL),
  );
}

export function concatenate(sequences: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(sequences.reduce((length, ids) => length + ids.length, 0));
  let offset = 0;
  for (const ids of sequences) {
    all.set(ids, offset);
    offset += ids.length;
  }
  return all;
}
