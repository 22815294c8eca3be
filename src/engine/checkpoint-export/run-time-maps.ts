/** Maps that a network computes at run time in front of a linear layer. */
import type { Linear } from '../../protocol/block.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import { Graph } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import { isFixed, readSeams, type SeamMap, type SeamMaps, symbolOf } from '../network/seams.ts';
import { IDENTITY, timesTransform } from '../network/side-transform.ts';

export type RunTimeMap = Extract<SeamMap, { readonly transform: HadamardTransform }>;

/** A fixed map with the layer that reads its channels, and its name in papers. */
export interface PlacedMap {
  readonly linear: Linear;
  readonly symbol: string;
  readonly map: RunTimeMap;
}

/** Layers with a fixed map in front of them. */
export function runTimeMaps(maps: SeamMaps): PlacedMap[] {
  return (['o', 'down'] as const).flatMap((linear) =>
    readSeams(linear).flatMap((seam) => {
      const map = maps[seam];
      return map && isFixed(map) ? [{ linear, symbol: symbolOf(seam, map), map }] : [];
    }),
  );
}

/** Channels that a map mixes with each other: the width of its matrix. */
export function widthOf({ kind, transform }: RunTimeMap, { headDim }: ModelConfig): number {
  return kind === 'across-heads' ? transform.block * headDim : transform.block;
}

export const mapInWords = ({ symbol, map, linear }: PlacedMap): string =>
  map.kind === 'across-heads'
    ? `${symbol}, a Hadamard transform of ${map.transform.block} heads before ${linear}_proj`
    : `${symbol}, a Hadamard transform of ${map.transform.block} channels before ${linear}_proj`;

interface FoldedSpec {
  readonly rows: number;
  readonly columns: number;
  readonly map: RunTimeMap;
}

/** W [rows, columns] of rotated channels x M as W Mᵀ of the channels x: (x M) Wᵀ = x (W Mᵀ)ᵀ. */
export const WITHOUT_RUN_TIME_MAP: ProgramKind<FoldedSpec, { readonly folded: Reals }> = {
  name: 'without-run-time-map',
  build({ rows, columns, map }) {
    const graph = new Graph();
    const side = map.kind === 'across-heads' ? { ...map, inner: IDENTITY } : map;
    return { graph, outputs: { folded: timesTransform(graph.input('w', [rows, columns]), side, true) } };
  },
};

/**
 * The matrix V [n, n] of a map, times √n: rows z [n] become z V / √n. Entries are ±1 where heads are not mixed.
 * @param config of the model.
 */
export function scaledMatrix(map: RunTimeMap, config: ModelConfig): Float32Array {
  const n = widthOf(map, config);
  const inner = n / map.transform.block;
  const scale = Math.sqrt(inner);
  const matrix = new Float32Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = i % inner; j < n; j += inner)
      matrix[i * n + j] = scale * entry(map.transform, Math.floor(i / inner), Math.floor(j / inner));
  return matrix;
}

/** Entry of (H_Kᵀ ⊗ H_{2^m}): ±1. */
function entry({ block, order, matrix }: HadamardTransform, row: number, column: number): number {
  const width = block / order;
  const [a, p] = [Math.floor(row / width), row % width];
  const [b, q] = [Math.floor(column / width), column % width];
  const outer = matrix === null ? 1 : matrix[b * order + a]!;
  return outer * (ones(p & q) % 2 === 0 ? 1 : -1);
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
