/** What a layer is compared with: the full-precision network in the maps so far; and how large its channels are. */
import type { Linear, Site } from '../../../protocol/block.ts';
import { recordOf } from '../../../protocol/records.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { abs, maximum } from '../../graph/ops/elementwise.ts';
import { reduceMax } from '../../graph/ops/reduce.ts';
import { reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { weightBases } from '../../network/linear-sites.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import { IDENTITY } from '../../network/side-transform.ts';
import { FLAT_SEAMS, type FlatSeam } from './block.ts';

/** The channels behind a seam: where they are seen, and the weights that read them. */
const SEEN = {
  'attention-norm': { site: 'attention-input', readers: ['q', 'k', 'v'] },
  'mlp-norm': { site: 'mlp-input', readers: ['gate', 'up'] },
  'up-down': { site: 'down-input', readers: ['down'] },
} as const satisfies Record<FlatSeam, { site: Site; readers: readonly Linear[] }>;

/** Nothing counts as smaller, so that every channel has a scale. */
const SMALLEST = 1e-5;

/** Largest magnitudes of the channels behind each seam [n]. */
export type Maxima = Record<FlatSeam, Reals>;

interface Spec {
  /** Of the merged network at full precision. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** x → y of a layer of the merged network at full precision, and max|·| of what stands behind each seam. */
export const REFERENCE_LAYER: ProgramKind<Spec, { y: Reals } & Maxima> = {
  name: 'flatquant-reference',
  build({ shape, types }) {
    const seen = new Map<Site, Value>();
    const { graph, y } = layerExpression(shape, types, 'merged', false, 'float32', (site, value) =>
      seen.set(site, value),
    );
    const maxima = recordOf(FLAT_SEAMS, (seam) => columnMaxima(seen.get(SEEN[seam].site)!));
    return { graph, outputs: { y, ...maxima } };
  },
};

/** max|W| over all rows of the weights that read a seam, in the maps so far, its gain folded in. */
export const READER_MAXIMA: ProgramKind<Spec, Maxima> = {
  name: 'flatquant-readers',
  build({ shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const outputs = recordOf(FLAT_SEAMS, (seam) =>
      SEEN[seam].readers
        .map((linear) => {
          const { right } = weightBases(inputs, linear);
          return columnMaxima(rotateWeight(inputs.weight(linear), IDENTITY, right));
        })
        .reduce(maximum),
    );
    return { graph, outputs };
  },
};

/** max|x| [n] of rows [m, n]. */
function columnMaxima(rows: Value): Value {
  return reshape(reduceMax(abs(rows), [0]), [rows.dim(1)]);
}

/** Where the scales of channels start, s = max|W|^(1−α) / max|x|^α: rows are multiplied by them. */
export function firstGains(
  activations: ArrayLike<number>,
  weights: ArrayLike<number>,
  alpha: number,
): Float64Array {
  return Float64Array.from(weights, (weight, i) => {
    const [w, x] = [Math.max(weight, SMALLEST), Math.max(activations[i] ?? 0, SMALLEST)];
    return Math.max(w ** (1 - alpha) / x ** alpha, SMALLEST);
  });
}
