import { elementCount } from '../../protocol/tensor.ts';
import { rmsNorm } from '../graph/fused/rms-norm.ts';
import { rotaryEmbedding } from '../graph/fused/rotary.ts';
import { swiGlu } from '../graph/fused/swiglu.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { add, div, exp, maximum, mul, scale, sub } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reduceMax, reduceSum } from '../graph/ops/reduce.ts';
import { reshape, transposeLast } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import { headNorm } from '../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../network/layer-inputs.ts';
import { plainSites } from '../network/linear-sites.ts';
import { NO_MAPS } from '../network/seams.ts';

/** Everything that decides the program of a layer that takes one token of each sequence. */
export interface DecodeSpec {
  readonly config: ModelConfig;
  readonly types: LayerTypes;
  /** Sequences, all at the same position. */
  readonly batch: number;
  /** Positions that the cache has room for. */
  readonly capacity: number;
}

/** The value vanishes in exp and stays finite in float32. */
export const MASKED = -1e30;

/**
 * One layer of the full-precision network for the next token of each sequence: x [B, d] → y [B, d], with the key and
 * the value [B, G, 1, h] that later tokens look at. `keys` [B, G, h, C] and `values` [B, G, C, h] hold those before;
 * `mask` [C] is 0 where one is seen and {@link MASKED} elsewhere.
 */
export const DECODE: ProgramKind<DecodeSpec, { y: Reals; key: Reals; value: Reals }> = {
  name: 'decode',
  build(spec) {
    const { config, batch } = spec;
    const graph = new Graph();
    const x = graph.input('x', [batch, config.hiddenSize]);
    const inputs = new LayerInputs(graph, { config, maps: NO_MAPS }, spec.types);
    const sites = plainSites(inputs, () => undefined);
    const { mixed, key, value } = attention(inputs, spec, sites.qkv(rmsNorm(x, config.rmsNormEps)));
    const attended = add(x, sites.output(mixed));
    const [gate, up] = sites.gateUp(rmsNorm(attended, config.rmsNormEps));
    const y = add(attended, sites.down(swiGlu(gate, up)));
    return { graph, outputs: { y, key, value } };
  },
};

function attention(
  inputs: LayerInputs,
  { config, batch, capacity }: DecodeSpec,
  [q, k, v]: readonly [Value, Value, Value],
) {
  const { graph } = q;
  const { heads, kvHeads, headDim } = config;
  const repeats = heads / kvHeads;
  const angles = [1, headDim / 2];
  const [cos, sin] = [graph.input('cos', angles), graph.input('sin', angles)];
  const turned = (rows: Value, norm: string, dims: readonly number[]): Value =>
    rotaryEmbedding(reshape(headNorm(rows, inputs.optional(norm), { config }), dims), cos, sin);
  const keys = graph.input('keys', [batch, kvHeads, headDim, capacity]);
  const values = graph.input('values', [batch, kvHeads, capacity, headDim]);
  const stacked = [batch, kvHeads, repeats, headDim];
  const queries = reshape(turned(q, 'qNorm', [batch, kvHeads, repeats, 1, headDim]), stacked);
  const key = turned(k, 'kNorm', [batch, kvHeads, 1, headDim]);
  const value = reshape(v, key.dims);
  const scores = (seen: Value): Value => scale(matmul(queries, seen), 1 / Math.sqrt(headDim));
  const before = add(scores(keys), graph.input('mask', [capacity]));
  const own = scores(transposeLast(key));
  const top = maximum(reduceMax(before, [-1]), own);
  const [weights, ownWeight] = [exp(sub(before, top)), exp(sub(own, top))];
  const sum = add(matmul(weights, values), mul(ownWeight, value));
  const mixed = div(sum, add(reduceSum(weights, [-1]), ownWeight));
  return { mixed: reshape(mixed, [batch, elementCount(mixed.dims) / batch]), key, value };
}
