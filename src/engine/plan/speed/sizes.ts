import { UserError } from '../../../protocol/errors.ts';
import type { LeftOut, SpeedSizes } from '../../../protocol/speed.ts';
import type { ModelConfig } from '../../model/config.ts';
import { longestText } from '../../speed/measure.ts';

/** Null where nobody said how many. */
export interface AskedSizes {
  readonly promptTokens: number | null;
  readonly tokens: number | null;
  readonly depths: readonly number[] | null;
  readonly repeat: number | null;
}

const USUAL = { promptTokens: 512, tokens: 128, depths: [128, 2048, 8192], repeat: 3 };

/**
 * What is measured. Usual sizes shrink to what the model has positions for; sizes that were asked for do not.
 * @throws UserError `bench/context`.
 */
export function speedSizes(
  asked: AskedSizes,
  { maxPositions }: Pick<ModelConfig, 'maxPositions'>,
  dir: string,
): { readonly sizes: SpeedSizes; readonly left: readonly LeftOut[] } {
  const tokens = asked.tokens ?? Math.min(USUAL.tokens, Math.max(1, maxPositions >> 2));
  const promptTokens = asked.promptTokens ?? Math.max(1, Math.min(USUAL.promptTokens, maxPositions - tokens));
  const sizes = { promptTokens, tokens, depths: [], repeat: asked.repeat ?? USUAL.repeat };
  const fits = (depths: readonly number[]): boolean => longestText({ ...sizes, depths }) <= maxPositions;
  const depths = [...new Set(asked.depths ?? USUAL.depths)].sort((a, b) => a - b);
  const tooDeep = depths.filter((depth) => !fits([depth]));
  if (!fits([]) || (asked.depths !== null && tooDeep.length > 0))
    throw new UserError(
      'bench/context',
      `${longestText({ ...sizes, depths: asked.depths === null ? [] : depths })} tokens are to be read; ${dir} has ${maxPositions} positions (max_position_embeddings).`,
      'Ask for fewer: --prompt-tokens, --tokens, --depths.',
    );
  const left = tooDeep.map(
    (depth): LeftOut => ({
      name: 'depth',
      reason: `Tokens behind ${depth} others are not measured: the model has ${maxPositions} positions.`,
    }),
  );
  return { sizes: { ...sizes, depths: depths.filter((depth) => fits([depth])) }, left };
}
