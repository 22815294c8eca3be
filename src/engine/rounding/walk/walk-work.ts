import type { ModelConfig } from '../../model/config.ts';
import type { LayerQuantizers } from '../../network/layer-shape.ts';
import { DEFAULT_MEMORY } from '../../network/memory-plan.ts';
import {
  addWork,
  clipSearch,
  layerForward,
  NO_WORK,
  passesOver,
  secondMoment,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';

/** A weight [rows, columns] of the walk. */
export interface WalkedWeight {
  readonly rows: number;
  readonly columns: number;
}

/** The seven weights of a layer. */
export function walkedWeights(config: ModelConfig): readonly WalkedWeight[] {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim } = config;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  return [
    { rows: queries, columns: d },
    { rows: keys, columns: d },
    { rows: keys, columns: d },
    { rows: d, columns: queries },
    { rows: f, columns: d },
    { rows: f, columns: d },
    { rows: d, columns: f },
  ];
}

/**
 * The walk through all layers without the rounding itself: passes of the text, in which gate and up are multiplied twice
 * where what down reads does not fit, second moments, weights mapped and rounded to nearest, and the errors of both
 * roundings.
 */
export function walkWork(config: ModelConfig, text: TextSize, { weights: grid }: LayerQuantizers): Work {
  const { hiddenSize: d, intermediateSize: f, heads, headDim, layers } = config;
  const tokens = tokensOf(text);
  const products = tokens * f * Float32Array.BYTES_PER_ELEMENT;
  const unkept = Math.max(0, 1 - DEFAULT_MEMORY.productBytes / products);
  const again = { flops: unkept * 4 * tokens * d * f, bytes: 0, calls: 0 };
  const moments = [d, heads * headDim, d, f].map((n) => secondMoment(tokens, n));
  const weights = walkedWeights(config).map(({ rows, columns }) => {
    const size = rows * columns;
    return addWork(
      { flops: 2 * size * d + 4 * size * columns, bytes: 0, calls: 2 },
      passesOver(size, 4),
      grid.clipSearch ? clipSearch(size) : NO_WORK,
    );
  });
  // Five stages take the text from its store and put it back.
  const kept = passesOver(5 * tokens * d, 1);
  return timesWork(layers, addWork(layerForward(config, text, false), again, kept, ...moments, ...weights));
}

/** Factors of the four second moments of each layer: Cholesky, and the inverse that feeds errors back. */
export function factorWork({
  hiddenSize: d,
  intermediateSize: f,
  heads,
  headDim,
  layers,
}: ModelConfig): Work {
  const cubes = [d, heads * headDim, d, f].reduce((sum, n) => sum + n ** 3, 0);
  return { flops: layers * cubes, bytes: 0, calls: 4 * layers };
}

/** Every error of a weight is fed to the later columns of its row. */
export function feedbackWork(config: ModelConfig): Work {
  const flops = walkedWeights(config).reduce((sum, { rows, columns }) => sum + rows * columns * columns, 0);
  return { flops: config.layers * flops, bytes: 0, calls: 7 * config.layers };
}

/** A second pass of the text at full precision, how far what is read drifts from it, and what is solved for that. */
export function pairedWork(config: ModelConfig, text: TextSize, seesResidual: boolean): Work {
  const { hiddenSize: d, intermediateSize: f, heads, headDim, layers } = config;
  const tokens = tokensOf(text);
  const drifts = [d, heads * headDim, d, f].map(
    (n): Work => ({ flops: 2 * tokens * n * n + 2 * n ** 3, bytes: 0, calls: 2 }),
  );
  const ofResidual = [heads * headDim, f].map(
    (n): Work => ({ flops: 2 * tokens * n * d + 2 * d * n * n, bytes: 0, calls: 2 }),
  );
  return timesWork(
    layers,
    addWork(layerForward(config, text, false), ...drifts, ...(seesResidual ? ofResidual : [])),
  );
}

/** MagR's steps. */
export const reducingWork = (config: ModelConfig, steps: number): Work => steppingWork(config, steps, 8);

/** Steps that learn clip ratios, one more to begin with. */
export const clippingWork = (config: ModelConfig, steps: number): Work => steppingWork(config, steps + 1, 24);

/** Steps with a product of the weights with second moments each, and so many passes over the weights. */
function steppingWork(config: ModelConfig, steps: number, passes: number): Work {
  const step = walkedWeights(config).map(({ rows, columns }) =>
    addWork({ flops: 2 * rows * columns * columns, bytes: 0, calls: 1 }, passesOver(rows * columns, passes)),
  );
  return timesWork(config.layers * steps, addWork(...step));
}
