/**
 * The order in which act-order rounds columns: by decreasing second moment of their inputs (Frantar et al., the option of
 * their code), equal ones as they stand.
 * @param h second moments [n, n].
 */
export function orderByMoment(h: Float32Array, n: number): Int32Array {
  const columns = Array.from({ length: n }, (_, column) => column);
  return Int32Array.from(columns.sort((a, b) => h[b * n + b]! - h[a * n + a]!));
}

/** The order that undoes another. */
export function inverseOrder(order: Int32Array): Int32Array {
  const inverse = new Int32Array(order.length);
  order.forEach((column, place) => {
    inverse[column] = place;
  });
  return inverse;
}

/** Puts column order[j] of a matrix [rows, n] at j, in place. */
export function reorderColumns(matrix: Float32Array, order: Int32Array): void {
  const n = order.length;
  const kept = new Float32Array(n);
  for (let start = 0; start < matrix.length; start += n) {
    const values = matrix.subarray(start, start + n);
    kept.set(values);
    for (let j = 0; j < n; j++) values[j] = kept[order[j]!]!;
  }
}

/** Puts row and column order[j] of a square matrix [n, n] at j, in place: for the widest there is no room for another. */
export function reorder(matrix: Float32Array, order: Int32Array): void {
  const n = order.length;
  const kept = new Float32Array(n);
  reorderColumns(matrix, order);
  const done = new Uint8Array(n);
  for (let start = 0; start < n; start++) {
    if (done[start]) continue;
    kept.set(matrix.subarray(start * n, (start + 1) * n));
    let to = start;
    for (; order[to] !== start; to = order[to]!) {
      matrix.copyWithin(to * n, order[to]! * n, (order[to]! + 1) * n);
      done[to] = 1;
    }
    matrix.set(kept, to * n);
    done[to] = 1;
  }
}
