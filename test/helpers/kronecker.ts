/** Maps diag(s) (P₁ ⊗ P₂) at the seams of a network, with numbers. */
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { kroneckerFactors, kroneckerNumbers } from '../../src/engine/network/kronecker.ts';
import { type SeamMaps, type SeamState, seamOf } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { recordOf } from '../../src/protocol/records.ts';

const SEAMS = ['attention-norm', 'mlp-norm', 'up-down'] as const;

export const KRONECKER_MAPS: SeamMaps = recordOf(SEAMS, () => ({ kind: 'kronecker' }) as const);

/** Rotations with a little added, and scales around one: none is its own inverse transposed. */
export function kroneckerState(config: ModelConfig, seed: number): SeamState {
  const random = new Rng(seed);
  const near = (n: number) => haarRotation(n, random).map((value) => value + 0.1 * (random.uniform() - 0.5));
  return recordOf(SEAMS, (seam) => {
    const { width } = seamOf(seam, config);
    const [n1, n2] = kroneckerFactors(width);
    return Array.from({ length: config.layers }, () => {
      const gain = Float64Array.from({ length: width }, () => 0.7 + 0.6 * random.uniform());
      return Float32Array.from(kroneckerNumbers({ gain, left: near(n1), right: near(n2) })!);
    });
  });
}
