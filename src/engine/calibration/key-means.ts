import { seamsAt } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { fakeQuantize } from '../graph/fused/fake-quantize.ts';
import type { Value } from '../graph/graph.ts';
import { mul, sub } from '../graph/ops/elementwise.ts';
import { reduceMean, reduceSum } from '../graph/ops/reduce.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { headNorm } from '../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import {
  FULL_PRECISION,
  type LayerQuantizers,
  type LayerShape,
  quantizerAt,
} from '../network/layer-shape.ts';
import type { Activations, Network } from '../network/network.ts';
import { type NetworkQuantizers, quantizersAt } from '../network/network-quantizers.ts';
import { NO_MAPS, type SeamMaps } from '../network/seams.ts';
import { timesTransform } from '../network/side-transform.ts';
import { sqnrOf } from './statistics/moments.ts';

/** Tokens of the text whose keys are averaged: a mean over so many has settled. */
const AVERAGED_TOKENS = 8192;

interface KeySpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** x → y of the plain layer, and the mean over tokens [1, G·h] of its keys before RoPE, behind their norm and bias. */
const KEY_MEAN: ProgramKind<KeySpec, { y: Reals; mean: Reals }> = {
  name: 'key-mean',
  build({ shape, types }) {
    const { graph, y, kept, inputs } = layerExpression(shape, types, 'plain', false);
    const keys = kept.get('k');
    if (!keys) throw new Error('a plain layer keeps its keys');
    // The bias is in the product that is kept.
    const mean = reduceMean(headNorm(keys, inputs.optional('kNorm'), shape), [0]);
    return { graph, outputs: { y, mean }, precision: shape.precision };
  },
};

/**
 * x → for each token Σ(Q(k) − k)² [T] of the keys behind their fixed map, without their offset, and Σk² [T] of the whole
 * keys, which attention reads. The graph ends at the keys: what stands behind them is not computed.
 */
const KEY_NOISE: ProgramKind<KeySpec, { noise: Reals; power: Reals }> = {
  name: 'key-noise',
  build({ shape, types }) {
    const quantizer = quantizerAt('key', shape.quantizers);
    if (!quantizer) throw new Error('these keys are not quantized');
    const { keyOffset } = shape.quantizers;
    const exact = { ...FULL_PRECISION, ...(keyOffset && { keyOffset }) };
    const plain: LayerShape = { ...shape, quantizers: exact, maps: NO_MAPS };
    const seen: { keys?: Value; whole?: Value } = {};
    const { graph } = layerExpression(plain, types, 'plain', false, 'float32', (site, value, whole) => {
      if (site === 'key') Object.assign(seen, { keys: value, whole: whole?.() ?? value });
    });
    const { keys, whole } = seen;
    if (!keys || !whole) throw new Error('a layer shows its keys');
    const inputs = new LayerInputs(graph, shape, {});
    const mapped = seamsAt('key').reduce((x, seam) => timesTransform(x, inputs.mapAt('key', seam)), keys);
    const noise = squares(sub(fakeQuantize(mapped, quantizer), mapped));
    return { graph, outputs: { noise, power: squares(whole) }, precision: shape.precision };
  },
};

/** Of each token: they are summed further in double precision. */
const squares = (x: Value): Value => reduceSum(mul(x, x), [1], false);

/** Errors of rounding to float32, squared: less than that is no error of a quantizer. */
const LEAST_NOISE = 2 ** -48;

/** Quantizers of keys that are compared with and without the mean. */
export interface KeyComparison extends NetworkQuantizers {
  /** The maps behind RoPE that stand fixed; others are not known yet. */
  readonly maps: SeamMaps;
}

/** How far keys are above the error of their quantizer, in dB, on average over the layers. */
export interface KeySqnr {
  /** Without the offset that the quantizers have, if any. */
  readonly kept: number;
  /** Without their mean in its place. */
  readonly apart: number;
}

export interface KeyMeans {
  /** float32 [1, G·h] by layer, in the channels of the checkpoint. */
  readonly means: readonly HostTensor<Float32Array>[];
  /** One for each comparison. */
  readonly sqnrDb: readonly KeySqnr[];
}

/**
 * The mean of the keys of each layer, before RoPE, at full precision: in many models it is most of what keys are. In the
 * same pass, what quantizers make of the keys with and without it.
 * @param network the plain one. @param blocks sequences of one length.
 */
export async function keyMeans(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  compared: readonly KeyComparison[] = [],
  signal?: AbortSignal,
): Promise<KeyMeans> {
  const length = blocks[0]?.length ?? 1;
  const seen = blocks.slice(0, Math.max(1, Math.floor(AVERAGED_TOKENS / length)));
  let rows: Activations[] = [];
  for (const ids of seen) rows.push(await network.embed(ids, signal));
  const means: HostTensor<Float32Array>[] = [];
  const sums = compared.map(() => ({ layers: 0, kept: 0, apart: 0 }));
  for (let layer = 0; layer < network.layers; layer++) {
    const place = { cache, network, layer, length, rows, signal };
    const { mean, next } = await throughLayer(place);
    means.push(mean);
    for (const [index, comparison] of compared.entries()) {
      const found = await sqnrAt(place, comparison, mean);
      if (!found) continue;
      const sum = sums[index]!;
      sum.layers++;
      sum.kept += found.kept;
      sum.apart += found.apart;
    }
    rows = next;
  }
  const sqnrDb = sums.map(({ layers, kept, apart }) => ({
    kept: layers > 0 ? kept / layers : 0,
    apart: layers > 0 ? apart / layers : 0,
  }));
  return { means, sqnrDb };
}

/** A layer with the residual before it, a sequence each. */
interface Place {
  readonly cache: ProgramCache;
  readonly network: Network;
  readonly layer: number;
  readonly length: number;
  readonly rows: readonly Activations[];
  readonly signal: AbortSignal | undefined;
}

async function throughLayer({ cache, network, layer, length, rows, signal }: Place) {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: length });
  const program = await cache.get(KEY_MEAN, { shape, types });
  const next: Activations[] = [];
  let sum = new Float64Array();
  for (const x of rows) {
    throwIfCancelled(signal);
    const { y, mean } = await program.run({ ...tensors, x }, signal);
    if (sum.length === 0) sum = new Float64Array(mean.data.length);
    for (const [channel, value] of mean.data.entries()) sum[channel]! += value;
    next.push(y);
  }
  const mean = Float32Array.from(sum, (value) => value / rows.length);
  return { mean: float32([1, mean.length], mean), next };
}

/** @returns null where the keys of the layer are not quantized, or are all 0. */
async function sqnrAt(
  place: Place,
  comparison: KeyComparison,
  mean: HostTensor<Float32Array>,
): Promise<KeySqnr | null> {
  const quantizers = quantizersAt(comparison, place.layer);
  if (!quantizerAt('key', quantizers)) return null;
  const { keys, keyOffset } = quantizers;
  const of = (part: LayerQuantizers['keyOffset']) =>
    sqnrWith(place, { ...FULL_PRECISION, keys, ...(part && { keyOffset: part }) }, comparison.maps, mean);
  const [kept, apart] = [await of(keyOffset), await of('mean')];
  return kept === null || apart === null ? null : { kept, apart };
}

async function sqnrWith(
  { cache, network, layer, length, rows, signal }: Place,
  quantizers: LayerQuantizers,
  maps: SeamMaps,
  mean: HostTensor<Float32Array>,
): Promise<number | null> {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: length });
  const own = { ...types, keyMean: { dtype: mean.dtype, dims: mean.dims } };
  const program = await cache.get(KEY_NOISE, { shape: { ...shape, quantizers, maps }, types: own });
  let [noise, power] = [0, 0];
  for (const x of rows) {
    throwIfCancelled(signal);
    const out = await program.run({ ...tensors, keyMean: mean, x }, signal);
    noise += total(out.noise.data);
    power += total(out.power.data);
  }
  return sqnrOf(power, Math.max(noise, power * LEAST_NOISE));
}

const total = (terms: Float32Array): number => terms.reduce((sum, term) => sum + term, 0);
