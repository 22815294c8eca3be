import type { MethodOptions } from '../../config/index.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { timed } from '../../protocol/events.ts';
import { recordOf } from '../../protocol/records.ts';
import type { Value } from '../graph/graph.ts';
import { abs, maximum } from '../graph/ops/elementwise.ts';
import { reduceMax } from '../graph/ops/reduce.ts';
import { reshape } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import {
  addWork,
  layerForward,
  NO_WORK,
  passesOver,
  prepareWeights,
  timesWork,
  tokensOf,
} from '../network/work.ts';
import {
  NORMS,
  type Norm,
  normReaders,
  normRows,
  type TurnedLayer,
  turnedLayer,
} from '../transform/norms/norm-rows.ts';
import { channelFactors } from '../transform/smoothquant/channel-factors.ts';
import { searchAlphas } from '../transform/smoothquant/search-alpha.ts';
import { alphaSearchWork } from '../transform/smoothquant/search-work.ts';
import type { ScalingMethod, ScalingWork } from './method.ts';

type Options = MethodOptions<'smoothquant'>;

/**
 * SmoothQuant (Xiao et al. 2023, eq. 4): channel j behind a norm is divided by
 *   s_j = max|x_j|^α / max|W_j|^(1−α),
 * the maxima over the calibration tokens and over all rows of the weights that read it, and these are multiplied by it.
 * Gains are folded into weights and rotations act first; the ratio of activation and weight takes in both.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: { 'attention-norm': { kind: 'diagonal' }, 'mlp-norm': { kind: 'diagonal' } },
  cost({ config, text, options: { alpha } }) {
    // Sequence by sequence, with a look at what each norm hands on.
    const one = { sequences: 1, length: text.length };
    const seen = passesOver(2 * tokensOf(one) * config.hiddenSize, 4);
    const pass = timesWork(text.sequences * config.layers, addWork(layerForward(config, one, false), seen));
    const maxima = addWork(pass, prepareWeights(config, { mapped: true, searched: false }));
    return { work: addWork(maxima, alpha === 'search' ? alphaSearchWork(config, text) : NO_WORK), bytes: 0 };
  },
  readsQuantizers: ({ alpha }) => alpha === 'search',
  async *scale(work, signal) {
    const { network, options, state, blocks } = work;
    const layers = Array.from({ length: network.layers }, (_, layer) => layer);
    const activations = await activationMaxima(work, signal);
    const weights: Maxima[] = [];
    for (const layer of layers) weights.push(await weightMaxima(work, layer, signal));
    const factorsOf = (layer: number, norm: Norm, alpha: number): Float32Array =>
      channelFactors(activations[layer]?.[norm], weights[layer]?.[norm], alpha);
    const { alpha } = options;
    if (alpha !== 'search')
      return recordOf(NORMS, (norm) => layers.map((layer) => factorsOf(layer, norm, alpha)));
    const search = searchAlphas({ ...work.merged(), state, blocks, factorsOf }, signal);
    for (let began = performance.now(); ; began = performance.now()) {
      const next = await search.next();
      if (next.done) return next.value;
      const seconds = (performance.now() - began) / 1000;
      yield timed({ type: 'scaling', method: 'smoothquant', layers: layers.length, ...next.value, seconds });
    }
  },
};

/** Largest magnitude of each channel [d], by norm. */
type Maxima = Record<Norm, Float32Array>;

/** One pass of the calibration text through the full-precision network. @returns maxima of each layer. */
async function activationMaxima(work: ScalingWork<Options>, signal?: AbortSignal): Promise<Maxima[]> {
  const { cache, network, blocks } = work;
  const found: Maxima[] = [];
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (let layer = 0; layer < network.layers; layer++) {
      throwIfCancelled(signal);
      const { spec, tensors } = turnedLayer(work, layer, ids.length);
      const { y, ...maxima } = await (await cache.get(ACTIVATIONS, spec)).run({ ...tensors, x }, signal);
      const known = found[layer];
      found[layer] = recordOf(NORMS, (norm) => largest(known?.[norm], maxima[norm].data));
      x = y;
    }
  }
  return found;
}

async function weightMaxima(
  work: ScalingWork<Options>,
  layer: number,
  signal?: AbortSignal,
): Promise<Maxima> {
  const { spec, tensors } = turnedLayer(work, layer, 1);
  const out = await (await work.cache.get(WEIGHTS, spec)).run(tensors, signal);
  return recordOf(NORMS, (norm) => out[norm].data);
}

function largest(known: Float32Array | undefined, fresh: Float32Array): Float32Array {
  return known ? known.map((value, channel) => Math.max(value, fresh[channel] ?? 0)) : fresh;
}

/** x → y of the plain layer, and max|x| [d] of each norm's rows in the channels of the residual's map. */
const ACTIVATIONS: ProgramKind<TurnedLayer, { y: Reals } & Record<Norm, Reals>> = {
  name: 'smoothquant-activations',
  build: (layer) => normRows(layer, columnMaxima),
};

/** max|W| [d] over all rows of the weights that read a norm. */
const WEIGHTS: ProgramKind<TurnedLayer, Record<Norm, Reals>> = {
  name: 'smoothquant-weights',
  build: (layer) => normReaders(layer, columnMaxima, maximum),
};

/** max|x| [n] of rows [m, n]. */
function columnMaxima(rows: Value): Value {
  return reshape(reduceMax(abs(rows), [0]), [rows.dim(1)]);
}
