import type { ModelConfig } from './config.ts';
import type { RopeScaling, Yarn } from './config-rope.ts';

/** In these rotary tables, the pair (j, j + headDim/2) of a head turns by the angle of column j. */
export interface RopeTables {
  /** float32 [positions, headDim/2], row-major. */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

type RopeConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'>;
type Rule<T> = Extract<RopeScaling, { type: T }>;

/**
 * Returns the angular frequency of each pair, float64 [headDim/2]: θ^(−2j/headDim), then the scaling.
 * Linear divides all by the factor; LongRoPE divides each by its own, of which it has two sets. The other rules stand
 * at their functions. All are those of transformers (`modeling_rope_utils`).
 * @param positions the length of the sequences, which dynamic scaling and LongRoPE look at.
 */
export function ropeFrequencies(config: RopeConfig, positions = 1): Float64Array {
  const { headDim, ropeScaling } = config;
  const ropeTheta =
    ropeScaling?.type === 'dynamic' ? dynamicBase(config, ropeScaling, positions) : config.ropeTheta;
  const scale = scaleOf(ropeScaling, config, positions);
  return Float64Array.from({ length: headDim / 2 }, (_, j) => scale(ropeTheta ** ((-2 * j) / headDim), j));
}

type Scale = (frequency: number, pair: number) => number;

function scaleOf(rule: RopeScaling, config: RopeConfig, positions: number): Scale {
  switch (rule?.type) {
    case undefined:
    case 'dynamic':
      return (frequency) => frequency;
    case 'linear':
      return (frequency) => frequency / rule.factor;
    case 'longrope': {
      const factors = positions > rule.originalMaxPositions ? rule.longFactor : rule.shortFactor;
      return (frequency, j) => frequency / factors[j]!;
    }
    case 'llama3':
      return llama3Scale(rule);
    case 'yarn':
      return yarnScale(rule, config);
  }
}

/**
 * Llama 3 divides frequencies with wavelengths longer than originalMaxPositions/lowFreqFactor, keeps those shorter than
 * originalMaxPositions/highFreqFactor, and blends linearly (in frequency) between.
 */
function llama3Scale(rule: Rule<'llama3'>): Scale {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = rule;
  return (frequency) => {
    const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
    if (turns < lowFreqFactor) return frequency / factor;
    if (turns > highFreqFactor) return frequency;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  };
}

/**
 * YaRN keeps pairs that make more than betaFast turns in the original context, divides those with fewer than betaSlow,
 * and blends between, linearly in the number of the pair (section 3.2).
 */
function yarnScale(rule: Yarn, { headDim, ropeTheta }: RopeConfig): Scale {
  const { factor, originalMaxPositions, betaFast, betaSlow, truncate } = rule;
  // The pair, as a real number, that makes so many turns: θ^(2j/headDim) = originalMaxPositions / (2π turns).
  const pairOf = (turns: number): number =>
    (headDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
  const [fast, slow] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, headDim - 1);
  const width = high === low ? 0.001 : high - low;
  return (frequency, j) => {
    const divided = Math.min(Math.max((j - low) / width, 0), 1);
    return (frequency / factor) * divided + frequency * (1 - divided);
  };
}

/** Dynamic NTK scaling: θ (s L/L₀ − (s − 1))^(d/(d−2)) for sequences of L tokens, where L₀ or fewer leave θ alone. */
function dynamicBase({ headDim, ropeTheta }: RopeConfig, rule: Rule<'dynamic'>, positions: number): number {
  const { factor, maxPositions } = rule;
  const stretch = (factor * Math.max(positions, maxPositions)) / maxPositions - (factor - 1);
  return ropeTheta * stretch ** (headDim / (headDim - 2));
}

/**
 * Lengths up to the model's positions, the shortest first, between which sequences have the same tables as far as they go:
 * LongRoPE turns all positions of a sequence by other angles where it is longer than `originalMaxPositions`. (Dynamic
 * scaling does beyond the model's positions.)
 */
export function ropeLimits({ ropeScaling, maxPositions }: ModelConfig): readonly number[] {
  if (ropeScaling?.type !== 'longrope' || ropeScaling.originalMaxPositions >= maxPositions)
    return [maxPositions];
  return [ropeScaling.originalMaxPositions, maxPositions];
}

/**
 * Computes tables for sequences of positions 0 … positions−1 in float64 and rounds them once. YaRN and LongRoPE multiply
 * cosines and sines by a factor, which scales the logits of attention by its square.
 */
export function ropeTables(config: RopeConfig, positions: number): RopeTables {
  const { ropeScaling } = config;
  const magnitude = ropeScaling && 'attentionFactor' in ropeScaling ? ropeScaling.attentionFactor : 1;
  const frequencies = ropeFrequencies(config, positions);
  const width = frequencies.length;
  const cos = new Float32Array(positions * width);
  const sin = new Float32Array(positions * width);
  for (let position = 0; position < positions; position++) {
    for (let j = 0; j < width; j++) {
      const angle = position * frequencies[j]!;
      cos[position * width + j] = magnitude * Math.cos(angle);
      sin[position * width + j] = magnitude * Math.sin(angle);
    }
  }
  return { cos, sin };
}
