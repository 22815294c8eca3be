import { UserError } from '../../protocol/errors.ts';
import { type HadamardKind, hadamardTable, MAX_TABLE_ORDER } from './hadamard-tables.ts';

/**
 * The plan of an orthogonal Hadamard transform.
 * The width n splits into n/block independent pieces. A piece z of length b = K·2^m is read row by row as Z[K, 2^m]. It
 * becomes (H_K × (Z × H_{2^m})) / √b: the row vector z becomes z·M with M = (H_Kᵀ ⊗ H_{2^m}) / √b.
 */
export interface HadamardPlan {
  /** Width n of the rows that are transformed. */
  readonly n: number;
  /** K; 1 when the block is a power of two. */
  readonly order: number;
  /** b = K·2^m, a divisor of n; equal to n when all channels are mixed. */
  readonly block: number;
  /** K×K entries ±1, row by row; null when K = 1. */
  readonly matrix: Int8Array | null;
  readonly kind: HadamardKind | 'block-diagonal';
  /** The construction, in words for people. */
  readonly statement: string;
}

/**
 * Plans a transform for any width. It takes the smallest generated order K with n = K·2^m (an element costs K + m
 * additions). Without one, the transform is block-diagonal, with the largest block that divides n and can be served.
 * @param n width, a positive integer.
 * @throws RangeError when n is not a positive integer.
 */
export function planHadamard(n: number): HadamardPlan {
  if (!Number.isInteger(n) || n < 1)
    throw new RangeError(`a Hadamard width must be a positive integer, not ${n}`);
  const order = smallestOrder(n);
  if (order !== null) return wholePlan(n, order);
  for (let parts = 2; ; parts++) {
    if (n % parts !== 0) continue;
    const block = n / parts;
    const blockOrder = smallestOrder(block);
    if (blockOrder !== null) return blockPlan(n, block, blockOrder);
  }
}

/**
 * Plans Sylvester's transform of the largest power of two that divides the width.
 * @param n width, a positive integer.
 */
export function planPowerOfTwo(n: number): HadamardPlan {
  let block = 1;
  while (n % (2 * block) === 0) block *= 2;
  if (block === n) return planHadamard(n);
  return blockPlan(n, block, 1, 'a power of two is asked for');
}

/**
 * Plans the transform across heads, which must mix all of them.
 * @throws UserError `rotation/heads` when no generated Hadamard matrix has this order.
 */
export function planAcrossHeads(heads: number): HadamardPlan {
  const plan = planHadamard(heads);
  if (plan.kind !== 'block-diagonal') return plan;
  throw new UserError(
    'rotation/heads',
    `rotation.acrossHeads: this model has ${heads} heads, and no generated Hadamard matrix has the order ${heads}.`,
    'Set rotation.acrossHeads to false: the input of o_proj then has one scale per head.',
  );
}

/** Returns the smallest K with n = K·2^m that has a table; 1 for a power of two; null when there is none. */
function smallestOrder(n: number): number | null {
  let odd = n;
  while (odd % 2 === 0) odd /= 2;
  if (odd === 1) return 1;
  for (let order = 4 * odd; order <= MAX_TABLE_ORDER && n % order === 0; order *= 2) {
    if (hadamardTable(order) !== null) return order;
  }
  return null;
}

function wholePlan(n: number, order: number): HadamardPlan {
  if (n === 1) {
    const statement = '1 channel: nothing to mix, the identity';
    return { n, order, block: n, matrix: null, kind: 'sylvester', statement };
  }
  const { matrix, kind, recipe } = describeBlock(n, order);
  return { n, order, block: n, matrix, kind, statement: `${n} = ${recipe}; mixes all ${n} channels` };
}

function blockPlan(
  n: number,
  block: number,
  order: number,
  reason = `no generated Hadamard matrix serves the full width ${n}`,
): HadamardPlan {
  if (block === 1) {
    const statement = `${reason} and ${n} has no factor that one serves: the identity, no mixing`;
    return { n, order, block, matrix: null, kind: 'block-diagonal', statement };
  }
  const { matrix, recipe } = describeBlock(block, order);
  const statement = `${reason}: ${n / block} independent blocks of ${block} = ${recipe}; channels mix only inside a block`;
  return { n, order, block, matrix, kind: 'block-diagonal', statement };
}

function describeBlock(block: number, order: number) {
  const power = block / order;
  const table = order === 1 ? null : hadamardTable(order);
  if (table === null) {
    return { matrix: null, kind: 'sylvester' as const, recipe: `2^${Math.log2(block)} (Sylvester)` };
  }
  const tail = power === 1 ? '' : `·2^${Math.log2(power)}`;
  return { matrix: table.matrix, kind: table.kind, recipe: `${order}${tail} (${table.construction})` };
}

/**
 * Applies the transform to every row in place. It is the reference, in loops, for the `Hadamard` operator.
 * @param rows row-major [..., n]; computed in float64, rounded once on the way back into a Float32Array.
 * @param transpose multiply by Mᵀ instead of M, which undoes the transform.
 * @throws RangeError when the length is not a multiple of n.
 */
export function applyHadamard(
  plan: HadamardPlan,
  rows: Float64Array | Float32Array,
  transpose = false,
): void {
  const { n, order, block, matrix } = plan;
  if (rows.length % n !== 0) throw new RangeError(`${rows.length} values are not whole rows of ${n}`);
  const width = block / order;
  const scale = 1 / Math.sqrt(block);
  const piece = new Float64Array(block);
  const mixed = new Float64Array(block);
  for (let start = 0; start < rows.length; start += block) {
    for (let i = 0; i < block; i++) piece[i] = rows[start + i]! * scale;
    for (let row = 0; row < block; row += width) sylvesterInPlace(piece, row, width);
    if (matrix !== null) mixRows(matrix, order, piece, mixed, width, transpose);
    rows.set(matrix === null ? piece : mixed, start);
  }
}

/** Computes x ← x·H by butterflies for x = values[start .. start + width), width a power of two. */
function sylvesterInPlace(values: Float64Array, start: number, width: number): void {
  for (let half = 1; half < width; half *= 2) {
    for (let base = start; base < start + width; base += 2 * half) {
      for (let i = base; i < base + half; i++) {
        const a = values[i]!;
        const b = values[i + half]!;
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
  }
}

/** Computes target[K, width] = H·source, or Hᵀ·source. */
function mixRows(
  matrix: Int8Array,
  order: number,
  source: Float64Array,
  target: Float64Array,
  width: number,
  transpose: boolean,
): void {
  target.fill(0);
  for (let i = 0; i < order; i++) {
    for (let k = 0; k < order; k++) {
      const sign = transpose ? matrix[k * order + i]! : matrix[i * order + k]!;
      for (let j = 0; j < width; j++) {
        target[i * width + j] = target[i * width + j]! + sign * source[k * width + j]!;
      }
    }
  }
}

/**
 * Returns diag(s)·M, M the matrix of the transform: what {@link applyHadamard} makes of diag(s), to the bit and without
 * its n² log n additions, since every number of a block is ±s/√b. @param signs 1 and −1 [n].
 * @param rotation zeros [n, n], which are filled.
 */
export function signedHadamard<T extends Float32Array | Float64Array>(
  { n, order, block, matrix }: HadamardPlan,
  signs: Float64Array,
  rotation: T,
): T {
  const width = block / order;
  const scale = 1 / Math.sqrt(block);
  for (let row = 0; row < n; row++) {
    const inBlock = row % block;
    const [part, place] = [Math.floor(inBlock / width), inBlock % width];
    const start = row * n + row - inBlock;
    for (let column = 0; column < order; column++) {
      const first = start + column * width;
      rotation[first] = signs[row]! * scale * (matrix === null ? 1 : matrix[column * order + part]!);
      // Row `place` of Sylvester's matrix doubles: the second half is the first one, or its opposite.
      for (let half = 1; half < width; half *= 2) {
        const sign = (place & half) === 0 ? 1 : -1;
        for (let i = first; i < first + half; i++) rotation[i + half] = sign * rotation[i]!;
      }
    }
  }
  return rotation;
}
