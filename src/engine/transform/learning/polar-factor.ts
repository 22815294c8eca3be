/** The rotation nearest to any square matrix, however unevenly its singular values lie, in products alone. */
import { UserError } from '../../../protocol/errors.ts';
import type { HostTensor } from '../../../protocol/tensor.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, div, mul, scale, sqrt } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { transposeLast } from '../../graph/ops/shape.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { driftOf } from './cayley-sgd.ts';
import { newtonSchulz } from './lie-adam.ts';

type Doubles = HostTensor<Float64Array>;

/** Passes that take a singular value up to 3.4445 times as far, of 1e-6 to the range of Newton–Schulz. */
const RAISING = 12;
const FINISHING = 4;
/** Rounds of finishing passes: those that are left raise what lies below 1e-6. */
const MAX_ROUNDS = 20;
/** Products of a matrix in about as many passes as are needed. */
export const POLAR_PRODUCTS = 3 * (RAISING + 2 * FINISHING);
/** Rounding of products in float64 stays below. */
const DONE = 1e-12;

/**
 * The orthogonal factor U of M = U·P, P symmetric and positive semidefinite: the R that makes tr(RᵀM) largest. First
 * Y ← aY + b(YYᵀ)Y + c(YYᵀ)²Y with Muon's coefficients, which raise small singular values and keep all between 0.68
 * and 1.14; then quintic Newton–Schulz, which takes these to 1.
 * @param matrix [n, n], row-major. @returns [n, n] float64.
 * @throws UserError `rotation/singular`
 */
export async function polarFactor(
  cache: ProgramCache,
  matrix: Float64Array,
  n: number,
  signal?: AbortSignal,
): Promise<Float64Array> {
  const tensor = (data: Float64Array): Doubles => ({ kind: 'host', dtype: 'float64', dims: [1, n, n], data });
  const raise = await cache.get(RAISE, n);
  const finish = await cache.get(FINISH, n);
  let { next: y } = await raise.run({ y: tensor(matrix) }, signal);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const out = await finish.run({ y }, signal);
    if (out.drift.data[0]! <= DONE) return out.next.data;
    y = out.next;
  }
  throw new UserError(
    'rotation/singular',
    `A ${n}×${n} matrix has no nearest rotation: it is singular or holds values that are not finite.`,
    'Learn or draw the rotation again.',
  );
}

const RAISE: ProgramKind<number, { readonly next: Doubles }> = {
  name: 'polar-raise',
  build(n) {
    const graph = new Graph('float64');
    const given = graph.input('y', [1, n, n]);
    const size = sqrt(add(reduceSum(mul(given, given), [0, 1, 2], false), graph.scalar(Number.MIN_VALUE)));
    return { graph, outputs: { next: repeated(RAISING, raised, div(given, size)) } };
  },
};

const FINISH: ProgramKind<number, { readonly next: Doubles; readonly drift: Doubles }> = {
  name: 'polar-finish',
  build(n) {
    const graph = new Graph('float64');
    const next = repeated(FINISHING, newtonSchulz, graph.input('y', [1, n, n]));
    return { graph, outputs: { next, drift: driftOf(next) } };
  },
};

/** The coefficients of Muon (Jordan et al. 2024). */
function raised(y: Value): Value {
  const s = matmul(y, transposeLast(y));
  const series = add(scale(s, -4.775), scale(matmul(s, s), 2.0315));
  return add(scale(y, 3.4445), matmul(series, y));
}

function repeated(times: number, pass: (y: Value) => Value, y: Value): Value {
  let at = y;
  for (let i = 0; i < times; i++) at = pass(at);
  return at;
}
