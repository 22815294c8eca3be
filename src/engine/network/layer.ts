import type { Value } from '../graph/graph.ts';
import { causalSoftmax } from '../graph/kernels/causal-softmax.ts';
import { fakeQuantize } from '../graph/kernels/fake-quantize.ts';
import { hadamard } from '../graph/kernels/hadamard.ts';
import { rmsNorm } from '../graph/kernels/rms-norm.ts';
import { rotaryEmbedding } from '../graph/kernels/rotary.ts';
import { swiGlu } from '../graph/kernels/swiglu.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reshape, toReal, transpose, transposeLast } from '../graph/ops/shape.ts';
import type { LayerShape } from './layer-shape.ts';

/** The four places where a layer multiplies by weights. Each mode of the network (linear-sites.ts) fills them in. */
export interface LinearSites {
  /** From the normalised residual [T, d], gain not applied: q [T, H·h], k [T, G·h], v [T, G·h] (in R2's basis, if any). */
  qkv(normed: Value): readonly [Value, Value, Value];
  /** From the mixed values [T, H·h] (in R2's basis): what is added to the residual [T, d]. */
  output(mixed: Value): Value;
  gateUp(normed: Value): readonly [Value, Value];
  /** From SiLU(gate)∘up [T, f], before R4. */
  down(product: Value): Value;
}

/** Position tables [S, h/2] and the per-head norms of Qwen3 [h]. */
export interface AttentionTables {
  readonly cos: Value;
  readonly sin: Value;
  readonly qNorm: Value | null;
  readonly kNorm: Value | null;
}

/** One transformer block on the residual x [B·S, d]. */
export function buildLayer(
  x: Value,
  shape: LayerShape,
  linears: LinearSites,
  tables: AttentionTables,
): Value {
  const epsilon = shape.config.rmsNormEps;
  const [q, k, v] = linears.qkv(rmsNorm(x, epsilon));
  const attended = add(x, linears.output(attention(q, k, v, shape, tables)));
  const [gate, up] = linears.gateUp(rmsNorm(attended, epsilon));
  return add(attended, linears.down(swiGlu(gate, up)));
}

/**
 * Causal grouped-query attention. Queries of one key/value head are stacked along the rows, so that each head's
 * keys enter one larger product: scores [B, G, (H/G)·S, S].
 */
function attention(q: Value, k: Value, v: Value, shape: LayerShape, tables: AttentionTables): Value {
  const { batch, sequence, quantizers } = shape;
  const { heads, kvHeads, headDim } = shape.config;
  const repeats = heads / kvHeads;
  const queries = positioned(
    splitHeads(headNorm(q, tables.qNorm, shape), [batch, sequence, kvHeads, repeats, headDim]),
    shape,
    tables,
  );
  const keys = fakeQuantize(
    positioned(
      splitHeads(headNorm(k, tables.kNorm, shape), [batch, sequence, kvHeads, headDim]),
      shape,
      tables,
    ),
    quantizers.keys,
  );
  const values = splitHeads(fakeQuantize(v, quantizers.values), [batch, sequence, kvHeads, headDim]);
  const stacked = reshape(queries, [batch, kvHeads, repeats * sequence, headDim]);
  const scores = matmul(stacked, transposeLast(keys));
  const mask = { rows: sequence, window: shape.window ?? 0 };
  const mixed = matmul(causalSoftmax(scores, 1 / Math.sqrt(headDim), mask), values);
  const perHead = reshape(mixed, [batch, kvHeads, repeats, sequence, headDim]);
  return reshape(transpose(perHead, [0, 3, 1, 2, 4]), [batch * sequence, heads * headDim]);
}

/** Qwen3: RMSNorm with gain over each head's channels, before RoPE. */
function headNorm(x: Value, gain: Value | null, shape: LayerShape): Value {
  if (!gain) return x;
  const { headDim, rmsNormEps } = shape.config;
  const rows = reshape(x, [(x.dim(0) * x.dim(1)) / headDim, headDim]);
  return reshape(mul(rmsNorm(rows, rmsNormEps), toReal(gain)), x.dims);
}

/** [B·S, heads·h] to [B, …heads, S, h]. */
function splitHeads(x: Value, dims: readonly number[]): Value {
  const perm = dims.length === 5 ? [0, 2, 3, 1, 4] : [0, 2, 1, 3];
  return transpose(reshape(x, dims), perm);
}

/** RoPE, then R3. */
function positioned(x: Value, shape: LayerShape, tables: AttentionTables): Value {
  const rotated = rotaryEmbedding(x, tables.cos, tables.sin);
  return shape.rotations.r3 ? hadamard(rotated, shape.rotations.r3) : rotated;
}
