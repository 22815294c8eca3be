import type { ModelConfig } from '../../model/config.ts';
import { addWork, passesOver, timesWork, type Work } from '../../network/work.ts';
import { walkedWeights } from '../walk/walk-work.ts';
import { BLOCK } from './e8p.ts';

/** Operations of one search: two shifts, each with magnitudes, their order, and 29 classes of points. */
const OPERATIONS_OF_SEARCH = 1000;
/** Operations of products that run in the time of one of branching code. */
const BRANCHING = 10;

export interface LatticeSettings {
  readonly bits: number;
  /** Of coordinate descent. */
  readonly sweeps: number;
}

/**
 * Transforms of both sides there and back, and for each block of eight, once and in every sweep, what the others feed it
 * and a search of the codebook for each of its stages: one at 2 bits, two above.
 */
export function latticeWork(config: ModelConfig, { bits, sweeps }: LatticeSettings): Work {
  const stages = bits > 2 ? 2 : 1;
  const looks = 1 + sweeps;
  const weights = walkedWeights(config).map(({ rows, columns }) => {
    const size = rows * columns;
    const search = (size / BLOCK) * stages * OPERATIONS_OF_SEARCH * BRANCHING;
    const fed = 2 * size * columns;
    const transforms = passesOver(size, 2 * Math.log2(rows * columns));
    return addWork({ flops: looks * (search + fed), bytes: 0, calls: 3 }, transforms);
  });
  return timesWork(config.layers, addWork(...weights));
}
