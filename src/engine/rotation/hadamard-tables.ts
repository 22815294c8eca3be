import { paleyOne, paleyTwo } from './paley.ts';
import { goethalsSeidel, isWilliamson } from './williamson.ts';

export type HadamardKind =
  | 'sylvester'
  | 'paley-1'
  | 'paley-2'
  | 'williamson'
  | 'goethals-seidel'
  | 'kronecker';

/** A Hadamard matrix has entries ±1 with HHᵀ = K·I. It is generated, not normalised, in general not symmetric. */
export interface HadamardTable {
  readonly order: number;
  /** K×K entries ±1, row by row. */
  readonly matrix: Int8Array;
  readonly kind: HadamardKind;
  /** The construction, for people: `Paley II, q = 37`. */
  readonly construction: string;
}

/** No larger order is generated: a dense K×K product per token would dominate the layer. */
export const MAX_TABLE_ORDER = 1024;

const tables = new Map<number, HadamardTable | null>();

/**
 * Returns the generated Hadamard matrix of this order, which is the same in every process.
 * @param order K from 1 to {@link MAX_TABLE_ORDER}.
 * @returns null when none of the constructions reaches K (always so when K > 2 is not a multiple of 4).
 */
export function hadamardTable(order: number): HadamardTable | null {
  let table = tables.get(order);
  if (table === undefined) {
    table = construct(order);
    tables.set(order, table);
  }
  return table;
}

function construct(order: number): HadamardTable | null {
  if (!Number.isInteger(order) || order < 1 || order > MAX_TABLE_ORDER) return null;
  if ((order & (order - 1)) === 0) {
    return { order, matrix: sylvester(order), kind: 'sylvester', construction: 'Sylvester' };
  }
  if (order % 4 !== 0) return null;
  return fromFiniteField(order) ?? fromCirculants(order) ?? fromFactors(order);
}

function fromFiniteField(order: number): HadamardTable | null {
  const one = paleyOne(order);
  if (one !== null) return { order, matrix: one, kind: 'paley-1', construction: `Paley I, q = ${order - 1}` };
  const two = paleyTwo(order);
  if (two === null) return null;
  return { order, matrix: two, kind: 'paley-2', construction: `Paley II, q = ${order / 2 - 1}` };
}

function fromCirculants(order: number): HadamardTable | null {
  const matrix = goethalsSeidel(order);
  if (matrix === null) return null;
  const kind = isWilliamson(order) ? 'williamson' : 'goethals-seidel';
  const name = kind === 'williamson' ? 'Williamson' : 'Goethals–Seidel';
  return { order, matrix, kind, construction: `${name}, four circulants of order ${order / 4}` };
}

/** Returns a Kronecker product of two smaller tables. The most unequal pair comes first, so that doubling wins. */
function fromFactors(order: number): HadamardTable | null {
  for (let small = 2; small * small <= order; small += 2) {
    const left = order % small === 0 ? hadamardTable(small) : null;
    const right = left === null ? null : hadamardTable(order / small);
    if (left === null || right === null) continue;
    const construction = `${left.construction} (${small}) ⊗ ${right.construction} (${order / small})`;
    return { order, matrix: kronecker(left, right), kind: 'kronecker', construction };
  }
  return null;
}

/** H_1 = [1], H_2n = [[H, H], [H, −H]]. Entry (i, j) is −1 to the number of ones that i and j share in binary. */
function sylvester(order: number): Int8Array {
  const matrix = new Int8Array(order * order);
  matrix[0] = 1;
  for (let half = 1; half < order; half *= 2) {
    for (let i = 0; i < half; i++) {
      for (let j = 0; j < half; j++) {
        const value = matrix[i * order + j]!;
        matrix[i * order + j + half] = value;
        matrix[(i + half) * order + j] = value;
        matrix[(i + half) * order + j + half] = -value;
      }
    }
  }
  return matrix;
}

function kronecker(left: HadamardTable, right: HadamardTable): Int8Array {
  const order = left.order * right.order;
  const matrix = new Int8Array(order * order);
  for (let i = 0; i < order; i++) {
    const leftRow = Math.floor(i / right.order) * left.order;
    const rightRow = (i % right.order) * right.order;
    for (let j = 0; j < order; j++) {
      const a = left.matrix[leftRow + Math.floor(j / right.order)]!;
      matrix[i * order + j] = a * right.matrix[rightRow + (j % right.order)]!;
    }
  }
  return matrix;
}
