import type { ModelConfig } from './config.ts';

/** In these rotary tables, the pair (j, j + headDim/2) of a head turns by the angle of column j. */
export interface RopeTables {
  /** float32 [positions, headDim/2], row-major. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

type RopeConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>;

/**
 * Returns the angular frequency of each pair, float64 [headDim/2]: θ^(−2j/headDim), then the scaling.
 * Linear divides all frequencies by the factor. Llama 3 divides those with wavelengths longer than
 * originalMaxPositions/lowFreqFactor, keeps those shorter than originalMaxPositions/highFreqFactor, and blends linearly
 * (in frequency) between.
 */
export function ropeFrequencies(config: RopeConfig): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  return Float64Array.from({ length: headDim / 2 }, (_, j) => {
    const frequency = ropeTheta ** ((-2 * j) / headDim);
    if (ropeScaling === null) return frequency;
    if (ropeScaling.type === 'linear') return frequency / ropeScaling.factor;
    const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = ropeScaling;
    const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
    if (turns < lowFreqFactor) return frequency / factor;
    if (turns > highFreqFactor) return frequency;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** Computes tables for positions 0 … positions−1 in float64 and rounds them once. */
export function ropeTables(config: RopeConfig, positions: number): RopeTables {
  const frequencies = ropeFrequencies(config);
  const width = frequencies.length;
  const cos = new Float32Array(positions * width);
  const sin = new Float32Array(positions * width);
  for (let position = 0; position < positions; position++) {
    for (let j = 0; j < width; j++) {
      const angle = position * frequencies[j]!;
      cos[position * width + j] = Math.cos(angle);
      sin[position * width + j] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
