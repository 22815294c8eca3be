/** Where the maps of a layer start: at orthogonal ones. */
import { recordOf } from '../../../protocol/records.ts';
import type { ModelConfig } from '../../model/config.ts';
import { kroneckerFactors } from '../../network/kronecker.ts';
import { seamOf } from '../../network/seams.ts';
import { planHadamard } from '../../rotation/hadamard-plan.ts';
import type { Rng } from '../../rotation/random.ts';
import { haarRotation, randomSignHadamard } from '../../rotation/random-rotation.ts';
import { FLAT_SEAMS, type FlatSeam } from './block.ts';
import { LearnedMap } from './parameters.ts';

type Maps = Record<FlatSeam, LearnedMap>;

/** As published: two random rotations. @param gains of each seam. */
export function publishedStart(gains: Readonly<Record<FlatSeam, Float64Array>>, random: Rng): Maps {
  return recordOf(FLAT_SEAMS, (seam) =>
    mapOf(gains[seam], (n, side) => haarRotation(n, random.split(`${seam} ${side}`))),
  );
}

/**
 * Where R1 has mixed the channels behind norms already, nothing is mixed again; those before down are mixed by Hadamard
 * matrices, whose product is one of R4, or by random rotations where there are none.
 */
export function rotatedStart(config: ModelConfig, random: Rng): Maps {
  return recordOf(FLAT_SEAMS, (seam) => {
    const ones = new Float64Array(seamOf(seam, config).width).fill(1);
    return mapOf(ones, (n, side) => {
      if (seam !== 'up-down') return unit(n);
      const own = random.split(`${seam} ${side}`);
      return planHadamard(n).kind === 'block-diagonal' ? haarRotation(n, own) : randomSignHadamard(n, own);
    });
  });
}

function mapOf(gain: Float64Array, matrix: (n: number, side: number) => Float64Array): LearnedMap {
  const [n1, n2] = kroneckerFactors(gain.length);
  return new LearnedMap({ gain, left: matrix(n1, 0), right: matrix(n2, 1) });
}

const unit = (n: number): Float64Array =>
  Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
