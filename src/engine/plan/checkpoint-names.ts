/** Names of the tensors in a checkpoint. */
import { SEAMS, type SeamName } from '../../protocol/block.ts';

/** Seams whose maps are learned. */
export const LEARNED = ['residual', 'value'] as const satisfies readonly SeamName[];

/** The maps whose weights the clip ratios were searched on. */
export const SEARCHED = 'searched.';
/** Moving averages of LieAdam. */
export const MOMENT = { m: 'moment1.', v: 'moment2.' } as const;

/** `R1`, and `R2.3` for a map of one layer. */
export function mapName(seam: SeamName, layer: number, prefix = ''): string {
  const { symbol } = SEAMS[seam];
  return seam === 'residual' ? prefix + symbol : `${prefix}${symbol}.${layer}`;
}
