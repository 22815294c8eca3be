import type { DType } from '../../protocol/tensor.ts';
import { gradients } from '../autodiff/gradients.ts';
import { rmsNorm } from '../graph/fused/rms-norm.ts';
import { Graph, type Real, type Value } from '../graph/graph.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import { mul, sub } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reduceMean } from '../graph/ops/reduce.ts';
import { gatherRows, toReal } from '../graph/ops/shape.ts';
import { Program } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Runtime } from '../runtime/types.ts';

/** The two ends of the network: token ids to residual, residual to loss. */
export interface EndsShape {
  readonly config: ModelConfig;
  readonly tokens: number;
  /** Whether the residual between the ends is in R1's basis. */
  readonly r1: boolean;
  /** Subtract each embedding row's mean, as the reference does (not function-preserving for RMSNorm models). */
  readonly centreEmbedding: boolean;
  readonly embeddingType: DType;
  readonly headType: DType;
  readonly normType: DType;
  /** Of products; `float32` where absent. */
  readonly precision?: Precision | undefined;
}

export interface EndExpression {
  readonly graph: Graph;
  readonly y: Value;
  readonly x: Value | null;
  readonly r1: Value | null;
}

/** ids int64 [T] → x [T, d] = E[ids]·R1. */
export function embeddingExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  const graph = new Graph(real);
  const { hiddenSize, vocabSize } = shape.config;
  const table = graph.input('embedding', [vocabSize, hiddenSize], shape.embeddingType);
  const rows = toReal(gatherRows(table, graph.input('ids', [shape.tokens], 'int64')));
  const centred = shape.centreEmbedding ? sub(rows, reduceMean(rows, [-1])) : rows;
  const r1 = shape.r1 ? graph.input('r1', [hiddenSize, hiddenSize]) : null;
  return { graph, y: r1 ? gemm(centred, r1) : centred, x: null, r1 };
}

/** x [T, d] → what the output layer reads [T, d]: norm(x)·R1ᵀ ∘ gain, back in the checkpoint's own basis. */
export function hiddenExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  const graph = new Graph(real);
  const { hiddenSize, rmsNormEps } = shape.config;
  const x = graph.input('x', [shape.tokens, hiddenSize]);
  const r1 = shape.r1 ? graph.input('r1', [hiddenSize, hiddenSize]) : null;
  const normed = rmsNorm(x, rmsNormEps);
  const unrotated = r1 ? gemm(normed, r1, { transB: true }) : normed;
  const y = mul(unrotated, toReal(graph.input('finalNorm', [hiddenSize], shape.normType)));
  return { graph, y, x, r1 };
}

/** x [T, d] → logits [T, V]: the language-model head stays unrotated and 16 bits. */
export function headExpression(shape: EndsShape, real: Real = 'float32'): EndExpression {
  const hidden = hiddenExpression(shape, real);
  const { hiddenSize, vocabSize } = shape.config;
  const weight = toReal(hidden.graph.input('lmHead', [vocabSize, hiddenSize], shape.headType));
  return { ...hidden, y: gemm(hidden.y, weight, { transB: true }) };
}

export function compileEmbedding(runtime: Runtime, shape: EndsShape): Promise<Program> {
  const { graph, y } = embeddingExpression(shape);
  return Program.compile(runtime, graph, { x: y }, { precision: shape.precision });
}

/** ids, dx → r1Gradient. */
export function compileEmbeddingBackward(runtime: Runtime, shape: EndsShape): Promise<Program> {
  const { graph, y, r1 } = embeddingExpression(shape);
  const [r1Gradient] = gradients([[y, graph.input('dx', y.dims)]], [r1!]);
  return Program.compile(runtime, graph, { r1Gradient: r1Gradient! }, { precision: shape.precision });
}

/** x → hidden [T, d]. */
export function compileHidden(runtime: Runtime, shape: EndsShape): Promise<Program> {
  const { graph, y } = hiddenExpression(shape);
  return Program.compile(runtime, graph, { hidden: y }, { precision: shape.precision });
}

/** x, dhidden → dx and, with R1, r1Gradient. */
export function compileHiddenBackward(runtime: Runtime, shape: EndsShape): Promise<Program> {
  const { graph, y, x, r1 } = hiddenExpression(shape);
  const seed = graph.input('dhidden', y.dims);
  const [dx, r1Gradient] = gradients([[y, seed]], r1 ? [x!, r1] : [x!]);
  return Program.compile(
    runtime,
    graph,
    { dx: dx!, r1Gradient: r1Gradient ?? null },
    { precision: shape.precision },
  );
}

export function compileLogits(runtime: Runtime, shape: EndsShape): Promise<Program> {
  const { graph, y } = headExpression(shape);
  return Program.compile(runtime, graph, { logits: y }, { precision: shape.precision });
}
