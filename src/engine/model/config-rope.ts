import { UserError } from '../../protocol/errors.ts';
import type { ConfigFields } from './config-fields.ts';

/** The rule that stretches rotary frequencies for long contexts; null stretches nothing. Formulas: `rope.ts`. */
export type RopeScaling =
  | null
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | { readonly type: 'linear'; readonly factor: number }
  | Yarn
  | {
      /** The base grows with sequences that are longer than the model's positions. */
      readonly type: 'dynamic';
      readonly factor: number;
      readonly maxPositions: number;
    }
  | {
      readonly type: 'longrope';
      /** Divisors of the frequencies [headDim/2] for sequences of at most `originalMaxPositions`, and for longer ones. */
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly originalMaxPositions: number;
      /** Cosines and sines are multiplied by it. */
      readonly attentionFactor: number;
    };

export interface Yarn {
  readonly type: 'yarn';
  readonly factor: number;
  readonly originalMaxPositions: number;
  /** Pairs that make more turns than this in the original context are kept. */
  readonly betaFast: number;
  /** Pairs that make fewer are divided by the factor. */
  readonly betaSlow: number;
  /** True where the bounds between these are whole numbers of pairs. */
  readonly truncate: boolean;
  /** Cosines and sines are multiplied by it. */
  readonly attentionFactor: number;
}

const TYPES = ['default', 'linear', 'dynamic', 'yarn', 'longrope', 'llama3'];

/**
 * Reads the rotary settings of config.json in either spelling: `rope_theta` + `rope_scaling` (transformers 4) or one
 * `rope_parameters` (transformers 5). Where both are there, `rope_scaling` counts, as in transformers 5.
 * @param maxPositions the model's positions.
 */
export function readRope(
  fields: ConfigFields,
  maxPositions: number,
  headDim: number,
): { ropeTheta: number; ropeScaling: RopeScaling } {
  const rope = fields.nested('rope_scaling') ?? fields.nested('rope_parameters');
  const ropeTheta =
    (rope?.value('rope_theta') ?? null) === null
      ? fields.positive('rope_theta', 10000)
      : rope!.positive('rope_theta');
  for (const holder of [fields, rope]) rejectPartial(holder);
  return { ropeTheta, ropeScaling: rope ? readScaling(rope, { fields, maxPositions, headDim }) : null };
}

function rejectPartial(fields: ConfigFields | undefined): void {
  const factor = fields?.value('partial_rotary_factor') ?? 1;
  if (factor === 1) return;
  throw new UserError(
    'model/rope',
    `${fields?.path}: partial_rotary_factor is ${String(factor)}; only 1 is supported.`,
    'Choose a model whose rotary embedding covers whole heads.',
  );
}

interface Around {
  readonly fields: ConfigFields;
  readonly maxPositions: number;
  readonly headDim: number;
}

function readScaling(rope: ConfigFields, around: Around): RopeScaling {
  // Older files call the key `type`.
  const type = rope.value('rope_type') ?? rope.value('type') ?? 'default';
  switch (type) {
    case 'default':
      rejectPerLayer(rope);
      return null;
    case 'linear':
      return { type: 'linear', factor: rope.positive('factor') };
    case 'dynamic':
      return { type: 'dynamic', factor: rope.positive('factor'), maxPositions: around.maxPositions };
    case 'yarn':
      return readYarn(rope, around);
    case 'longrope':
      return readLongRope(rope, around);
    case 'llama3':
      return {
        type: 'llama3',
        factor: rope.positive('factor'),
        lowFreqFactor: rope.positive('low_freq_factor'),
        highFreqFactor: rope.positive('high_freq_factor'),
        originalMaxPositions: originalPositions(rope, around),
      };
    default:
      throw new UserError(
        'model/rope',
        `${rope.path}: rope type ${JSON.stringify(type)} is not supported; supported are ${TYPES.map((known) => `"${known}"`).join(', ')}.`,
        'If the model was trained without scaling and only stretched for long contexts, remove the setting.',
      );
  }
}

/** Some models of transformers 5 have one rule for each kind of layer. */
function rejectPerLayer(rope: ConfigFields): void {
  for (const kind of ['full_attention', 'sliding_attention'])
    if (typeof rope.value(kind) === 'object')
      throw new UserError(
        'model/rope',
        `${rope.path} has rotary settings for ${kind} layers; one setting for all layers is supported.`,
        'Choose a model whose layers all have the same rotary embedding.',
      );
}

/** A value outside the rotary settings counts first, as in transformers; where there is none, nothing was stretched. */
function originalPositions(rope: ConfigFields, { fields, maxPositions }: Around): number {
  const key = 'original_max_position_embeddings';
  return (fields.value(key) ?? null) === null ? rope.count(key, maxPositions) : fields.count(key);
}

function readYarn(rope: ConfigFields, around: Around): Yarn {
  const originalMaxPositions = originalPositions(rope, around);
  const factor = rope.positive('factor', around.maxPositions / originalMaxPositions);
  return {
    type: 'yarn',
    factor,
    originalMaxPositions,
    betaFast: positiveOr(rope, 'beta_fast', 32),
    betaSlow: positiveOr(rope, 'beta_slow', 1),
    truncate: rope.flag('truncate', true),
    attentionFactor: rope.positive('attention_factor', yarnAttention(rope, factor)),
  };
}

/** The paper's 0.1 ln s + 1 (YaRN, section 3.4); DeepSeek's two weights of the logarithm count where both are there. */
function yarnAttention(rope: ConfigFields, factor: number): number {
  const above = positiveOr(rope, 'mscale', null);
  const below = positiveOr(rope, 'mscale_all_dim', null);
  if (above === null || below === null) return yarnMagnitude(factor);
  return yarnMagnitude(factor, above) / yarnMagnitude(factor, below);
}

export function yarnMagnitude(factor: number, weight = 1): number {
  return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
}

/** Zero counts as absent, as in transformers. */
function positiveOr<T extends number | null>(rope: ConfigFields, key: string, fallback: T): number | T {
  const value = rope.value(key) ?? 0;
  return value === 0 ? fallback : rope.positive(key);
}

function readLongRope(rope: ConfigFields, around: Around): RopeScaling {
  const originalMaxPositions = originalPositions(rope, around);
  const factor = rope.positive('factor', around.maxPositions / originalMaxPositions);
  // LongRoPE keeps the entropy of attention with this root (Phi-3).
  const magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions));
  return {
    type: 'longrope',
    shortFactor: rope.positives('short_factor', around.headDim / 2),
    longFactor: rope.positives('long_factor', around.headDim / 2),
    originalMaxPositions,
    attentionFactor: rope.positive('attention_factor', magnitude),
  };
}
