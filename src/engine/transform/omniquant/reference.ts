/** What a block is compared with, and where its scales start: the full-precision network in the maps so far. */
import type { Linear, Site } from '../../../protocol/block.ts';
import { partialOf } from '../../../protocol/records.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { abs, maximum } from '../../graph/ops/elementwise.ts';
import { reduceMax } from '../../graph/ops/reduce.ts';
import { reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { type AttentionTables, buildLayer, UNWATCHED } from '../../network/layer.ts';
import { LayerInputs } from '../../network/layer-inputs.ts';
import { plainSites, weightBases } from '../../network/linear-sites.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import { IDENTITY, timesTransform, timesTransposed } from '../../network/side-transform.ts';
import type { BlockSpec } from './block.ts';
import { type ScaledSeam, SMALLEST_SCALE } from './parameters.ts';

/** The channels that a seam scales: where they are seen, and the weights that read them. */
const SEEN = {
  'attention-norm': { site: 'attention-input', readers: ['q', 'k', 'v'] },
  'mlp-norm': { site: 'mlp-input', readers: ['gate', 'up'] },
  value: { site: 'o-input', readers: ['o'] },
} as const satisfies Partial<Record<ScaledSeam, { site: Site; readers: readonly Linear[] }>>;
type SeenSeam = keyof typeof SEEN;
const SEEN_SEAMS = Object.keys(SEEN) as SeenSeam[];

/** A size counts as no less, so that a channel that no weight reads has a scale. */
const SMALLEST_WEIGHT = 1e-5;

/** A block, and the seams whose scales are to start: no other map stands there. */
export interface ScaledSpec extends BlockSpec {
  readonly seams: readonly ScaledSeam[];
}

const seenOf = (seams: readonly ScaledSeam[]) => SEEN_SEAMS.filter((seam) => seams.includes(seam));

/** Largest magnitudes of channels [n], by seam. */
export type Maxima = Partial<Record<SeenSeam, Reals>>;

/**
 * x → y of the plain layer, both in the channels of the residual's map, and max|·| of what readers of each seam see.
 * Gains of norms are folded into weights: they count there.
 */
export const REFERENCE_BLOCK: ProgramKind<ScaledSpec, { y: Reals } & Maxima> = {
  name: 'omniquant-reference',
  build({ shape, types, seams }) {
    const graph = new Graph();
    const { config, batch, sequence } = shape;
    const residual = new LayerInputs(graph, shape, {}).map('residual');
    const inputs = new LayerInputs(graph, { ...shape, maps: {} }, types);
    const seen = new Map<Site, Value>();
    const tables: AttentionTables = {
      cos: graph.input('cos', [sequence, config.headDim / 2]),
      sin: graph.input('sin', [sequence, config.headDim / 2]),
      qNorm: inputs.optional('qNorm'),
      kNorm: inputs.optional('kNorm'),
    };
    const x = graph.input('x', [batch * sequence, config.hiddenSize]);
    const sites = plainSites(inputs, UNWATCHED.keep);
    const observe = (site: Site, value: Value) => seen.set(site, value);
    const y = buildLayer(timesTransposed(x, residual), shape, sites, tables, { ...UNWATCHED, observe });
    const maxima = partialOf(seenOf(seams), (seam) => {
      const rows = seen.get(SEEN[seam].site);
      if (!rows) return null;
      return columnMaxima(seam === 'value' ? rows : timesTransform(rows, residual));
    });
    return { graph, outputs: { y: timesTransform(y, residual), ...maxima } as Outputs };
  },
};

type Outputs = { y: Value } & Record<SeenSeam, Value>;

/** max|W| over all rows of the weights that read a seam, in the maps so far, its gain folded in. */
export const READER_MAXIMA: ProgramKind<ScaledSpec, Maxima> = {
  name: 'omniquant-readers',
  build({ shape, types, seams }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const outputs = partialOf(seenOf(seams), (seam) =>
      SEEN[seam].readers
        .map((linear) => {
          const { right } = weightBases(inputs, linear);
          return columnMaxima(rotateWeight(inputs.weight(linear), IDENTITY, right));
        })
        .reduce(maximum),
    );
    return { graph, outputs: outputs as Record<SeenSeam, Value> };
  },
};

/** max|x| [n] of rows [m, n]. */
function columnMaxima(rows: Value): Value {
  return reshape(reduceMax(abs(rows), [0]), [rows.dim(1)]);
}

/** s = max|x|^α / max|W|^(1−α) of each channel, no nearer to 0 than scales may be; absent where nothing was seen. */
export function firstScales(
  activations: Maxima,
  weights: Maxima,
  alpha: number,
): Partial<Record<ScaledSeam, Float32Array>> {
  return partialOf(SEEN_SEAMS, (seam) =>
    activations[seam]?.data.map((largest, channel) => {
      const weight = Math.max(weights[seam]?.data[channel] ?? 0, SMALLEST_WEIGHT);
      return Math.max(largest ** alpha / weight ** (1 - alpha), SMALLEST_SCALE);
    }),
  );
}

/** Adds what more rows have. */
export function largerOf(known: Maxima | null, fresh: Maxima): Maxima {
  if (!known) return fresh;
  return partialOf(SEEN_SEAMS, (seam) => {
    const [before, now] = [known[seam], fresh[seam]];
    if (!before || !now) return now ?? before;
    return { ...now, data: now.data.map((value, i) => Math.max(value, before.data[i] ?? 0)) };
  });
}
