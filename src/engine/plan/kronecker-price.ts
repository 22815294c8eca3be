/** Maps P₁ ⊗ P₂ cost this at run time, beside the linear layers. */
import { LINEARS } from '../../protocol/block.ts';
import type { ModelConfig } from '../model/config.ts';
import { kroneckerFactors, kroneckerFlops } from '../network/kronecker.ts';
import { type SeamMaps, seamOf, seamsIn } from '../network/seams.ts';

export interface KroneckerPrice {
  /** Factors of each map, by the linear layers that read it. */
  readonly factors: readonly { readonly readers: string; readonly sizes: readonly [number, number] }[];
  /** Operations that maps add, of those of the linear layers. */
  readonly share: number;
}

/** @returns null where no such map stands. */
export function kroneckerPrice(maps: SeamMaps, config: ModelConfig): KroneckerPrice | null {
  const seams = seamsIn(maps).filter((seam) => maps[seam]?.kind === 'kronecker');
  if (seams.length === 0) return null;
  const places = seams.map((seam) => seamOf(seam, config));
  const added = places.reduce((sum, { width }) => sum + kroneckerFlops(width), 0);
  return {
    factors: places.map(({ readers, width }) => ({
      readers: LINEARS.filter((linear) => readers.includes(linear)).join('/'),
      sizes: kroneckerFactors(width),
    })),
    share: added / (2 * linearWeights(config)),
  };
}

/** Numbers of the weights of a layer. */
function linearWeights({ hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim }: ModelConfig): number {
  return 2 * d * (heads + kvHeads) * headDim + 3 * d * f;
}

/** The price for people; null where there is none. */
export function kroneckerStatement(maps: SeamMaps, config: ModelConfig): string | null {
  const price = kroneckerPrice(maps, config);
  if (!price) return null;
  const places = price.factors.map(({ readers, sizes: [n1, n2] }) => `${readers} ${n1} × ${n2}`);
  return `P: Kronecker products in front of ${places.join(', ')}, ${(100 * price.share).toPrecision(2)} % more operations in linear layers`;
}
