import type { ModelConfig } from '../../model/config.ts';
import { layerParameters } from '../../network/memory-plan.ts';
import {
  addWork,
  type Cost,
  layerBothWays,
  passesOver,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';

/** A pass of a step over the weights is an operator, for seven of them: so many runs of programs. */
const CALLS_OF_STEP = 40;

export interface Layerwise {
  readonly epochs: number;
  /** Passes over a weight in a step by composed operators, derivatives included. */
  readonly passesOverWeights: number;
  /** One sequence through a layer, beside the steps. */
  readonly pass: Work;
  /** Residuals of the text that are held beside those of the network. */
  readonly texts: number;
}

/** For each layer the text beside its steps, and a step for each sequence of each epoch, forward and back. */
export function layerwiseWork(
  config: ModelConfig,
  text: TextSize,
  { epochs, passesOverWeights, pass, texts }: Layerwise,
): Cost {
  const one = { sequences: 1, length: text.length };
  const weights = passesOver(layerParameters(config), passesOverWeights);
  const calls = { flops: 0, bytes: 0, calls: CALLS_OF_STEP };
  const step = addWork(layerBothWays(config, one, true), weights, calls);
  const layer = addWork(timesWork(text.sequences, pass), timesWork(epochs * text.sequences, step));
  return {
    work: timesWork(config.layers, layer),
    // The texts, and a layer's weights with the derivatives by their grids.
    bytes:
      Float32Array.BYTES_PER_ELEMENT *
      (texts * tokensOf(text) * config.hiddenSize + 4 * layerParameters(config)),
  };
}
