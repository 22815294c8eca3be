import { float32 } from '../../protocol/tensor.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import type { ModelGraph } from './model-graph.ts';

/** A longer Sylvester factor is taken as two: the matrix of one would cost more than what it multiplies. */
const LONGEST_FACTOR = 256;

/**
 * Multiplies the last axis of x [batch, sequence, width] by a Hadamard transform, in standard operators: a block read
 * row by row as Z [K, A, C] becomes H_K, H_A and H_C along its axes, over √block.
 */
export async function hadamardNodes(
  graph: ModelGraph,
  name: string,
  x: string,
  transform: HadamardTransform,
  width: number,
): Promise<string> {
  const { block, order, matrix } = transform;
  if (block === 1) return x;
  const [outer, inner] = split(block / order);
  const shaped = (value: string, step: string, dims: readonly number[]): string =>
    graph.node(`${name}.${step}`, 'Reshape', [value, graph.ints([0, 0, ...dims])]);
  const scale = 1 / Math.sqrt(block);
  const right = await sylvester(graph, `${name}.H${inner}`, inner, scale);
  let z = graph.node(`${name}.inner`, 'MatMul', [shaped(x, 'rows', [-1, inner]), right]);
  if (outer > 1) {
    const left = await sylvester(graph, `${name}.H${outer}.left`, outer, 1);
    z = graph.node(`${name}.outer`, 'MatMul', [left, shaped(z, 'halves', [-1, outer, inner])]);
  }
  if (matrix) {
    const table = float32([order, order], Float32Array.from(matrix));
    const left = await graph.tensor(`${name}.K${order}`, table);
    z = graph.node(`${name}.order`, 'MatMul', [left, shaped(z, 'blocks', [-1, order, outer * inner])]);
  }
  return shaped(z, 'turned', [width]);
}

/** The same of the heads: x [batch, sequence, heads·h] as [heads, h] is multiplied along the heads. */
export async function acrossHeadsNodes(
  graph: ModelGraph,
  name: string,
  x: string,
  transform: HadamardTransform,
  width: number,
): Promise<string> {
  const heads = transform.block;
  const matrix = await graph.tensor(`${name}.H`, float32([heads, heads], transposedMatrix(transform)));
  const split = graph.node(`${name}.heads`, 'Reshape', [x, graph.ints([0, 0, heads, width / heads])]);
  const mixed = graph.node(`${name}.mixed`, 'MatMul', [matrix, split]);
  return graph.node(`${name}.turned`, 'Reshape', [mixed, graph.ints([0, 0, width])]);
}

function split(length: number): readonly [outer: number, inner: number] {
  if (length <= LONGEST_FACTOR) return [1, length];
  const inner = 2 ** Math.ceil(Math.log2(length) / 2);
  return [length / inner, inner];
}

async function sylvester(graph: ModelGraph, name: string, n: number, scale: number): Promise<string> {
  const signs = Float32Array.from({ length: n * n }, (_, i) => signAt(Math.floor(i / n), i % n) * scale);
  return graph.tensor(name, float32([n, n], signs));
}

/** H[i, j] = (−1)^(number of bits that i and j share). */
function signAt(i: number, j: number): number {
  let shared = i & j;
  let sign = 1;
  for (; shared > 0; shared &= shared - 1) sign = -sign;
  return sign;
}

/** The transform of one block as the matrix M̃ with y = M̃ z for a column z: M̃ = (H_K ⊗ H_{2^m}) / √block. */
function transposedMatrix({ block, order, matrix }: HadamardTransform): Float32Array {
  const power = block / order;
  return Float32Array.from({ length: block * block }, (_, i) => {
    const [row, column] = [Math.floor(i / block), i % block];
    const outer = matrix ? matrix[Math.floor(row / power) * order + Math.floor(column / power)]! : 1;
    return (outer * signAt(row % power, column % power)) / Math.sqrt(block);
  });
}
