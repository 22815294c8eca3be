/** What learning rotations asks of a machine. */
import type { SeamName } from '../../../protocol/block.ts';
import { capturedSequences } from '../../calibration/capture.ts';
import { RESERVOIR_ROWS } from '../../calibration/reservoir.ts';
import type { ModelConfig } from '../../model/config.ts';
import {
  addWork,
  headForward,
  layerBothWays,
  networkForward,
  type Preparing,
  passesOver,
  prepareWeights,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { ROWS_PER_STEP } from './distribution-learner.ts';
import { POLAR_PRODUCTS } from './polar-factor.ts';

/** Products of a rotation with matrices of its size in a step of either optimizer, about. */
const PRODUCTS_OF_STEP = 12;
/** Passes over turned rows: the objective with its derivative, and gathering them. */
const PASSES_OVER_ROWS = 10;
/** Linear layers, each of which a rotation has a derivative from. */
const LINEAR_LAYERS = 7;

export interface LearningSettings {
  readonly steps: number;
  readonly seams: readonly SeamName[];
  /** Maps of values in a layer, which share its rows; 1 where absent. */
  readonly mapsOfLayer?: number;
}

/** Through the quantized network: weights are prepared, a batch passes forward and back, every map moves. */
export function networkLearningWork(
  config: ModelConfig,
  batch: TextSize,
  settings: LearningSettings,
  { prepares }: { readonly prepares: Preparing | null },
): Work {
  const { steps } = settings;
  const tokens = tokensOf(batch);
  const { hiddenSize: d, layers } = config;
  // ∂A of each linear layer, or the turn of each input and back.
  const byMaps = { flops: 2 * LINEAR_LAYERS * tokens * d * d, bytes: 0, calls: 0 };
  const layer = addWork(layerBothWays(config, batch, true), byMaps);
  const prepared = prepares ? timesWork(2, prepareWeights(config, prepares)) : layer;
  const step = addWork(
    timesWork(layers, layer),
    timesWork(3, headForward(config, tokens)),
    prepared,
    optimizerWork(config, settings),
  );
  return timesWork(steps, step);
}

/** On captured activations: one pass of the text, then products of rows with the maps and the derivatives by these. */
export function capturedLearningWork(config: ModelConfig, text: TextSize, settings: LearningSettings): Work {
  const { steps, seams } = settings;
  const captured = { ...text, sequences: capturedSequences(text) };
  const rows = Math.min(ROWS_PER_STEP, tokensOf(captured));
  const turned = seams.map((seam) => {
    const { samples, n } = mapsOf(config, seam, settings);
    return addWork(
      { flops: 6 * samples * rows * n * n, bytes: 0, calls: 1 },
      passesOver(samples * rows * n, PASSES_OVER_ROWS),
    );
  });
  const step = addWork(...turned, optimizerWork(config, settings));
  return addWork(networkForward(config, captured, false), timesWork(steps, step));
}

/** By Procrustes: all rows pass two products, then the nearest rotation is found in float64, of half the rate. */
export function alternatingWork(config: ModelConfig, text: TextSize, settings: LearningSettings): Work {
  const { steps, seams } = settings;
  const captured = { ...text, sequences: capturedSequences(text) };
  const rows = Math.min(RESERVOIR_ROWS, tokensOf(captured) * config.layers);
  const turns = seams.map((seam) => {
    const { samples, count, n } = mapsOf(config, seam, settings);
    return addWork(
      {
        flops: 4 * samples * rows * n * n + 2 * 2 * POLAR_PRODUCTS * count * n ** 3,
        bytes: 0,
        calls: 3 * count,
      },
      passesOver(samples * rows * n, PASSES_OVER_ROWS),
    );
  });
  return addWork(networkForward(config, captured, false), timesWork(steps, addWork(...turns)));
}

function optimizerWork(config: ModelConfig, settings: LearningSettings): Work {
  return addWork(
    ...settings.seams.map((seam) => {
      const { count, n } = mapsOf(config, seam, settings);
      return { flops: 2 * PRODUCTS_OF_STEP * count * n ** 3, bytes: 0, calls: 2 };
    }),
  );
}

/** How many samples of rows a seam has, how many maps these are divided among, and the width of a map. */
function mapsOf(config: ModelConfig, seam: SeamName, { mapsOfLayer = 1 }: LearningSettings) {
  if (seam === 'residual') return { samples: 1, count: 1, n: config.hiddenSize };
  return { samples: config.layers, count: config.layers * mapsOfLayer, n: config.headDim };
}
