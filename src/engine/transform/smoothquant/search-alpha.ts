import { throwIfCancelled } from '../../../protocol/errors.ts';
import type { ScalingChoice } from '../../../protocol/events.ts';
import type { Activations, Network } from '../../network/network.ts';
import type { SeamState } from '../../network/seams.ts';
import type { TextSize } from '../../network/work.ts';

/** The strengths that are tried. */
export const ALPHAS: readonly number[] = Array.from({ length: 21 }, (_, i) => i / 20);
/** Where the search starts, and where it stays unless another one is better: the paper's. */
export const START = 0.5;
/** Errors are means over many tokens: more of them no longer change which is least. */
const SEARCHED_TOKENS = 4096;

export const NORMS = ['attention-norm', 'mlp-norm'] as const;
type Norm = (typeof NORMS)[number];

export interface AlphaSearch {
  /** Merged at full precision, with the maps so far. */
  readonly exact: Network;
  /** Merged and quantized as deployed, weights to nearest, with the norms' scales beside the maps so far. */
  readonly quantized: Network;
  /** Numbers of the maps so far. */
  readonly state: SeamState;
  readonly blocks: readonly Int32Array[];
  /** 1/s [d] of a norm. */
  readonly factorsOf: (layer: number, norm: Norm, alpha: number) => Float32Array;
}

export interface LayerChoices {
  readonly layer: number;
  readonly choices: readonly ScalingChoice[];
}

/**
 * Finds α for each norm of each layer: the one with the least squared error of the layer's output on the calibration
 * text, against full precision. Every layer reads what the full-precision network hands on. The norm of attention comes
 * first, while that of the feed-forward block has the start.
 */
export async function* searchAlphas(
  { exact, quantized, state, blocks, factorsOf }: AlphaSearch,
  signal?: AbortSignal,
): AsyncGenerator<LayerChoices, Readonly<Record<Norm, Float32Array[]>>> {
  const layers = Array.from({ length: exact.layers }, (_, layer) => layer);
  const found: Record<Norm, Float32Array[]> = {
    'attention-norm': layers.map((layer) => factorsOf(layer, 'attention-norm', START)),
    'mlp-norm': layers.map((layer) => factorsOf(layer, 'mlp-norm', START)),
  };
  let rows: Activations[] = [];
  for (const ids of someOf(blocks)) rows.push(await exact.embed(ids, signal));
  for (const layer of layers) {
    const wanted: Activations[] = [];
    for (const x of rows) wanted.push(await exact.layer(layer, x, shapeOf(x), signal));
    const errorWith = async (norm: Norm, factors: Float32Array): Promise<number> => {
      throwIfCancelled(signal);
      const changed = found[norm].with(layer, factors);
      quantized.setMaps({ ...state, ...found, [norm]: changed });
      let [error, size] = [0, 0];
      for (const [index, x] of rows.entries()) {
        const y = await quantized.layer(layer, x, shapeOf(x), signal);
        const [ours, all] = squares(y.data, wanted[index]!.data);
        [error, size] = [error + ours, size + all];
      }
      return size > 0 ? error / size : 0;
    };
    const choices: ScalingChoice[] = [];
    for (const norm of NORMS) {
      let best = { seam: norm, alpha: START, error: await errorWith(norm, found[norm][layer]!) };
      for (const alpha of ALPHAS) {
        const error = await errorWith(norm, factorsOf(layer, norm, alpha));
        if (error < best.error) best = { seam: norm, alpha, error };
      }
      found[norm][layer] = factorsOf(layer, norm, best.alpha);
      choices.push(best);
    }
    yield { layer, choices };
    rows = wanted;
  }
  return found;
}

/** The first sequences, at least one. */
function someOf(blocks: readonly Int32Array[]): readonly Int32Array[] {
  return blocks.slice(0, searchedSequences({ sequences: blocks.length, length: blocks[0]?.length ?? 1 }));
}

/** How many of the first sequences of a text are searched on. */
export function searchedSequences({ sequences, length }: TextSize): number {
  return Math.min(sequences, Math.max(1, Math.floor(SEARCHED_TOKENS / length)));
}

const shapeOf = ({ dims }: Activations) => ({ batch: 1, sequence: dims[0] ?? 0 });

/** Σ(a − b)² and Σb². */
function squares(a: Float32Array, b: Float32Array): [number, number] {
  let [error, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return [error, size];
}
