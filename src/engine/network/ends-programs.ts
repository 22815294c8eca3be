import type { SeamName } from '../../protocol/block.ts';
import type { DType } from '../../protocol/tensor.ts';
import { gradients } from '../autodiff/gradients.ts';
import { rmsNorm } from '../graph/fused/rms-norm.ts';
import { storedRows } from '../graph/fused/stored-rows.ts';
import { Graph, type Real, type Value } from '../graph/graph.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import { mul, sub } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reduceMean } from '../graph/ops/reduce.ts';
import { gatherRows, toReal } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import { packedHeadOutputs, packedHeadProduct } from './packed-head.ts';

/** The two ends of the network: token ids to residual, residual to loss. */
export interface EndsShape {
  readonly config: ModelConfig;
  readonly tokens: number;
  /** True where the residual between the ends is in the channels of its seam's map. */
  readonly mapped: boolean;
  /** Subtract each embedding row's mean, as the reference does (not function-preserving for RMSNorm models). */
  readonly centreEmbedding: boolean;
  readonly embeddingType: DType;
  readonly headType: DType;
  readonly normType: DType;
  /** True where logits are products with a packed output layer (`packed-head.ts`). */
  readonly packedHead?: boolean;
  /** True where logits are products with a bfloat16 output layer as it is stored; else it is converted first. */
  readonly storedHead?: boolean;
  /** Precision of products; `float32` where absent. */
  readonly precision?: Precision | undefined;
}

export interface EndExpression {
  readonly graph: Graph;
  readonly y: Value;
  readonly x: Value | null;
  /** The map of the residual [d, d], if there is one. */
  readonly map: Value | null;
}

/** ids int64 [T] → x [T, d] = E[ids]·R, R the map of the residual. */
export function embeddingExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  const graph = new Graph(real);
  const { hiddenSize, vocabSize } = shape.config;
  const table = graph.input('embedding', [vocabSize, hiddenSize], shape.embeddingType);
  const rows = toReal(gatherRows(table, graph.input('ids', [shape.tokens], 'int64')));
  const centred = shape.centreEmbedding ? sub(rows, reduceMean(rows, [-1])) : rows;
  const map = residualMap(graph, shape);
  return { graph, y: map ? gemm(centred, map) : centred, x: null, map };
}

/** x [T, d] → what the output layer reads [T, d]: norm(x)·Rᵀ ∘ gain, back in the checkpoint's own basis. */
export function hiddenExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  const graph = new Graph(real);
  const { hiddenSize, rmsNormEps } = shape.config;
  const x = graph.input('x', [shape.tokens, hiddenSize]);
  const map = residualMap(graph, shape);
  const normed = rmsNorm(x, rmsNormEps);
  const unrotated = map ? gemm(normed, map, { transB: true }) : normed;
  const y = mul(unrotated, toReal(graph.input('finalNorm', [hiddenSize], shape.normType)));
  return { graph, y, x, map };
}

/** x [T, d] → logits [T, V]: the language-model head stays unrotated and as it is stored, unless it is packed. */
export function headExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  if (shape.packedHead) return packedHeadExpression(shape);
  const hidden = hiddenExpression(shape, real);
  const { hiddenSize, vocabSize } = shape.config;
  const weight = hidden.graph.input('lmHead', [vocabSize, hiddenSize], shape.headType);
  if (shape.storedHead) return { ...hidden, y: storedRows(hidden.y, weight) };
  return { ...hidden, y: gemm(hidden.y, toReal(weight), { transB: true }) };
}

/** Gain and map are in the packed rows. */
function packedHeadExpression({ config, tokens }: EndsShape): EndExpression {
  const graph = new Graph();
  const x = graph.input('x', [tokens, config.hiddenSize]);
  return { graph, x, y: packedHeadProduct(rmsNorm(x, config.rmsNormEps), config.vocabSize), map: null };
}

function residualMap(graph: Graph, { mapped, config }: EndsShape): Value | null {
  return mapped ? graph.input(RESIDUAL, [config.hiddenSize, config.hiddenSize]) : null;
}

const RESIDUAL = 'residual' satisfies SeamName;

export const EMBEDDING: ProgramKind<EndsShape, { x: Reals }> = {
  name: 'embedding',
  build(shape) {
    const end = embeddingExpression(shape);
    return { graph: end.graph, outputs: { x: end.y }, precision: shape.precision };
  },
};

/** ids, dx → the derivative of the residual's map, of which there must be one. */
export const EMBEDDING_BACKWARD: ProgramKind<EndsShape, { mapGradient: Reals }> = {
  name: 'embedding-backward',
  build(shape) {
    const end = embeddingExpression(shape);
    const seed = end.graph.input('dx', end.y.dims);
    const [mapGradient = null] = gradients([[end.y, seed]], end.map ? [end.map] : []);
    return { graph: end.graph, outputs: { mapGradient }, precision: shape.precision };
  },
};

/** x → hidden [T, d]. */
export const HIDDEN: ProgramKind<EndsShape, { hidden: Reals }> = {
  name: 'hidden',
  build(shape) {
    const end = hiddenExpression(shape);
    return { graph: end.graph, outputs: { hidden: end.y }, precision: shape.precision };
  },
};

/** x, dhidden → dx and, where the residual is mapped, the derivative of its map. */
export const HIDDEN_BACKWARD: ProgramKind<EndsShape, { dx: Reals; mapGradient?: Reals }> = {
  name: 'hidden-backward',
  build(shape) {
    const end = hiddenExpression(shape);
    const seed = end.graph.input('dhidden', end.y.dims);
    const [dx = null, mapGradient = null] = gradients(
      [[end.y, seed]],
      [end.x, end.map].filter((value) => value !== null),
    );
    return { graph: end.graph, outputs: { dx, mapGradient }, precision: shape.precision };
  },
};

export const LOGITS: ProgramKind<EndsShape, { logits: Reals }> = {
  name: 'logits',
  build(shape) {
    const end = headExpression(shape);
    return { graph: end.graph, outputs: { logits: end.y }, precision: shape.precision };
  },
};

/** Rows of the output layer [T, d] → what multiplies the normed residual: rows ∘ gain, in the channels of its map. */
export const HEAD_ROWS: ProgramKind<EndsShape, { head: Reals }> = {
  name: 'head-rows',
  build(shape) {
    const head = headRows(shape);
    return { graph: head.graph, outputs: { head }, precision: shape.precision };
  },
};

/** The same, packed into 8 bits: outputs of `packedHeadOutputs`. */
export const PACK_HEAD: ProgramKind<EndsShape> = {
  name: 'pack-head',
  build(shape) {
    const head = headRows(shape);
    return { graph: head.graph, outputs: packedHeadOutputs(head), precision: shape.precision };
  },
};

function headRows(shape: EndsShape): Value {
  const graph = new Graph();
  const { hiddenSize } = shape.config;
  const rows = toReal(graph.input('rows', [shape.tokens, hiddenSize], shape.headType));
  const head = mul(rows, toReal(graph.input('finalNorm', [hiddenSize], shape.normType)));
  const map = residualMap(graph, shape);
  return map ? gemm(head, map) : head;
}
