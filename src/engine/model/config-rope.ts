import { UserError } from '../../protocol/errors.ts';
import type { ConfigFields } from './config-fields.ts';

/** The rule that stretches rotary frequencies for long contexts; null stretches nothing. */
export type RopeScaling =
  | null
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | { readonly type: 'linear'; readonly factor: number };

/**
 * Reads the rotary settings of config.json in either spelling: `rope_theta` + `rope_scaling` (transformers 4) or one
 * `rope_parameters` (transformers 5).
 */
export function readRope(fields: ConfigFields): { ropeTheta: number; ropeScaling: RopeScaling } {
  const rope = fields.nested('rope_parameters') ?? fields.nested('rope_scaling');
  const ropeTheta =
    rope?.value('rope_theta') === undefined
      ? fields.positive('rope_theta', 10000)
      : rope.positive('rope_theta');
  for (const holder of [fields, rope]) rejectPartial(holder);
  return { ropeTheta, ropeScaling: rope ? readScaling(rope, fields) : null };
}

function rejectPartial(fields: ConfigFields | undefined): void {
  const factor = fields?.value('partial_rotary_factor') ?? 1;
  if (factor === 1) return;
  throw new UserError(
    'model/rope',
    `${fields?.path}: partial_rotary_factor is ${JSON.stringify(factor)}; only 1 is supported.`,
    'Choose a model whose rotary embedding covers whole heads.',
  );
}

function readScaling(rope: ConfigFields, fields: ConfigFields): RopeScaling {
  // Older files call the key `type`.
  const type = rope.value('rope_type') ?? rope.value('type') ?? 'default';
  switch (type) {
    case 'default':
      return null;
    case 'linear':
      return { type: 'linear', factor: rope.positive('factor') };
    case 'llama3':
      return {
        type: 'llama3',
        factor: rope.positive('factor'),
        lowFreqFactor: rope.positive('low_freq_factor'),
        highFreqFactor: rope.positive('high_freq_factor'),
        originalMaxPositions: rope.count(
          'original_max_position_embeddings',
          fields.count('max_position_embeddings', 2048),
        ),
      };
    default:
      throw new UserError(
        'model/rope',
        `${rope.path}: rope type ${JSON.stringify(type)} is not supported; supported are "default", "linear", "llama3".`,
        'If the model was trained without scaling and only stretched for long contexts, remove the setting.',
      );
  }
}
