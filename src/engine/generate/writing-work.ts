import type { ModelConfig } from '../model/config.ts';
import {
  addWork,
  headForward,
  layerForward,
  passesOver,
  type TextSize,
  timesWork,
  type Work,
} from '../network/work.ts';
import { sequencesAtOnce } from './writing-memory.ts';

/** Sequences end before their last token, and the others go on without them: about so many tokens are computed for one. */
const COMPUTED_FOR_ONE = 2;
/** Products with a single row run at the speed of memory: one takes the time of about so many in a large product. */
const SINGLE_ROW = 8;
/** Passes over the logits of a token to draw it among the most likely, in JavaScript. */
const PASSES_TO_DRAW = 8;

/**
 * Token by token, some sequences side by side: a token passes through every layer, whose attention reads the keys and
 * values so far, half of the sequence on average.
 */
export function writingWork(config: ModelConfig, { sequences, length }: TextSize): Work {
  const { layers, heads, kvHeads, headDim, vocabSize } = config;
  const count = Math.min(sequencesAtOnce(config, length), sequences);
  const tokens = COMPUTED_FOR_ONE * Math.ceil(sequences / count) * length;
  const seen = (count * length) / 2;
  const layer = addWork(
    layerForward(config, { sequences: count, length: 1 }, false),
    { flops: SINGLE_ROW * 4 * seen * heads * headDim, bytes: 0, calls: 1 },
    passesOver(seen * (2 * kvHeads * headDim + 3 * heads), 1),
  );
  const drawn = addWork(headForward(config, count), passesOver(count * vocabSize, PASSES_TO_DRAW));
  return timesWork(tokens, addWork(timesWork(layers, layer), drawn, { flops: 0, bytes: 0, calls: 2 }));
}
