import type { ModelConfig } from '../../model/config.ts';
import type { LayerQuantizers } from '../../network/layer-shape.ts';
import { layerParameters } from '../../network/memory-plan.ts';
import {
  addWork,
  type Cost,
  layerForward,
  passesOver,
  prepareWeights,
  type TextSize,
  timesWork,
  tokensOf,
} from '../../network/work.ts';
import { walkedWeights } from '../walk/walk-work.ts';
import { TRIALS } from './programs.ts';
import { SHARES_BYTES } from './weight-clipper.ts';

export interface ClipSearch {
  /** Tokens that outputs are compared on. */
  readonly tokens: number;
  readonly quantizers: LayerQuantizers;
}

/** The shares, their squares and sums. */
const COPIES_OF_SHARES = 3;
/** Passes over a weight to clip and round it by composed operators. */
const PASSES_OF_TRIAL = 12;

/** A pass of the text, and each bound's share of the output at the tokens looked at, for all weights but q and k. */
export function clipSearchWork(
  config: ModelConfig,
  text: TextSize,
  { tokens, quantizers }: ClipSearch,
): Cost {
  const looked = Math.min(tokens, tokensOf(text));
  const { group } = quantizers.weights;
  const [, , ...searched] = walkedWeights(config);
  const clipped = searched.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const shares = searched.reduce((sum, { rows, columns }) => sum + rows * (columns / (group || columns)), 0);
  const search = addWork(
    { flops: 2 * TRIALS * looked * clipped, bytes: 0, calls: 7 },
    passesOver(TRIALS * looked * shares, 2),
    passesOver(TRIALS * clipped, PASSES_OF_TRIAL),
  );
  const errors = { flops: 6 * looked * layerParameters(config), bytes: 0, calls: 7 };
  const work = addWork(
    timesWork(config.layers, addWork(layerForward(config, text, false), search, errors)),
    prepareWeights(config, { mapped: true, searched: quantizers.weights.clipSearch }),
  );
  const widest = Math.max(...searched.map(({ rows, columns }) => rows * (columns / (group || columns))));
  const atOnce = Math.min(SHARES_BYTES, Float32Array.BYTES_PER_ELEMENT * widest * looked);
  return { work, bytes: COPIES_OF_SHARES * atOnce };
}
