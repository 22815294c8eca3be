import type { DType } from '../../protocol/tensor.ts';
import { type FileTensor, float32 } from '../../protocol/tensor.ts';
import { Graph, type Real, type Value } from '../graph/graph.ts';
import { exp, less, mul, scale, sub, where } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { kthLargest, logSumExp, reduceSum } from '../graph/ops/reduce.ts';
import { reshape, toReal } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';

/** Everything that decides the program of the divergence. */
export interface DivergenceSpec {
  readonly tokens: number;
  readonly width: number;
  readonly vocabulary: number;
  /** Of the teacher's output layer. */
  readonly teacherType: DType;
  /** Sequences that the sum over tokens is divided by. */
  readonly batch: number;
}

export interface DivergenceExpression {
  readonly graph: Graph;
  /** KL(teacher ‖ student) of each token [T], in nats. */
  readonly divergence: Value;
  /** Of Σ divergence / batch, by what the student's output layer reads [T, d]. */
  readonly dhidden: Value;
  /** Of the same, by the student's output layer [V, d]. */
  readonly dhead: Value;
}

/**
 * The loss of LLM-QAT (Liu et al. 2023, eq. 3): KL(p ‖ q) = Σ_v p_v (ln p_v − ln q_v) over the whole vocabulary, p and q
 * the softmax of the teacher's and of the student's logits at temperature 1. Its derivative by the student's logits is
 * q − p. Both output layers are read as they are: they stay unquantized.
 */
export function divergenceExpression(spec: DivergenceSpec, real: Real = 'float32'): DivergenceExpression {
  const { tokens, width, vocabulary, batch } = spec;
  const graph = new Graph(real);
  const rows = [tokens, width];
  const table = [vocabulary, width];
  const teacherHead = toReal(graph.input('teacherHead', table, spec.teacherType));
  const hidden = graph.input('hidden', rows);
  const head = graph.input('head', table);
  const p = logProbabilities(graph.input('teacherHidden', rows), teacherHead);
  const q = logProbabilities(hidden, head);
  const divergence = reshape(reduceSum(mul(exp(p), sub(p, q)), [1]), [tokens]);
  const dlogits = scale(sub(exp(q), exp(p)), 1 / batch);
  const dhead = gemm(dlogits, hidden, { transA: true });
  return { graph, divergence, dhidden: gemm(dlogits, head), dhead };
}

function logProbabilities(hidden: Value, head: Value): Value {
  const logits = gemm(hidden, head, { transB: true });
  return sub(logits, logSumExp(logits));
}

interface DivergenceOutputs {
  divergence: Reals;
  dhidden: Reals;
  dhead: Reals;
}

const DIVERGENCE: ProgramKind<DivergenceSpec, DivergenceOutputs> = {
  name: 'divergence',
  build(spec) {
    const { graph, ...outputs } = divergenceExpression(spec);
    return { graph, outputs };
  },
};

/** Everything that decides the program of the divergence behind one output layer. */
interface SharedHeadSpec extends Omit<DivergenceSpec, 'teacherType' | 'batch'> {
  readonly headType: DType;
  /** Tokens of the vocabulary that are counted, the likeliest at full precision; absent: all. */
  readonly top?: number | undefined;
}

/**
 * The same sum over tokens where both networks have one output layer, which stays. With `top` it is KL-Top (OSTQuant, Hu
 * et al. 2025, eq. 9): Σ_v p_v (ln p_v − ln q_v) over the `top` largest p_v, both softmaxes over the whole vocabulary. Its
 * derivative by the quantized network's logits is q Σ_top p − p within the top, and q Σ_top p beyond.
 */
export function sharedHeadExpression(spec: SharedHeadSpec, real: Real = 'float32') {
  const { tokens, width, vocabulary, headType, top = vocabulary } = spec;
  const graph = new Graph(real);
  const head = toReal(graph.input('head', [vocabulary, width], headType));
  const p = logProbabilities(graph.input('target', [tokens, width]), head);
  const q = logProbabilities(graph.input('hidden', [tokens, width]), head);
  const isWhole = top >= vocabulary;
  const counted = isWhole ? exp(p) : where(less(p, kthLargest(p, top)), graph.scalar(0), exp(p));
  const share = isWhole ? exp(q) : mul(exp(q), reduceSum(counted, [1]));
  const divergence = reshape(reduceSum(mul(counted, sub(p, q)), [1]), [tokens]);
  return { graph, divergence, dhidden: gemm(sub(share, counted), head) };
}

const SHARED_HEAD: ProgramKind<SharedHeadSpec, { divergence: Reals; dhidden: Reals }> = {
  name: 'divergence-of-hidden',
  build(spec) {
    const { graph, ...outputs } = sharedHeadExpression(spec);
    return { graph, outputs };
  },
};

/**
 * The divergence behind one output layer, of some tokens at a time.
 * @param target what the output layer reads at full precision [T, d]. @param hidden what it reads [T, d].
 * @param top see {@link SharedHeadSpec}.
 * @returns Σ KL over the tokens, in nats, and its derivative [T, d] by `hidden`.
 */
export async function hiddenDivergence(
  cache: ProgramCache,
  { head, target, hidden }: { readonly head: FileTensor; readonly target: Reals; readonly hidden: Reals },
  logitElements: number,
  signal?: AbortSignal,
  top?: number,
): Promise<{ sum: number; dhidden: Reals }> {
  const [count = 0, width = 0] = hidden.dims;
  const [vocabulary = 0] = head.dims;
  const headType = cache.runtime.inputType(head.dtype);
  const dhidden = float32(hidden.dims, new Float32Array(hidden.data.length));
  let sum = 0;
  for (const { tokens, rows } of chunksOf(count, width, Math.floor(logitElements / vocabulary))) {
    const program = await cache.get(SHARED_HEAD, { tokens, width, vocabulary, headType, top });
    const given = { head, target: rows(target), hidden: rows(hidden) };
    const found = await program.run(given, signal, { dhidden: rows(dhidden) });
    sum += found.divergence.data.reduce((total, one) => total + one, 0);
  }
  return { sum, dhidden };
}

/** Rows of [T, d] tensors, at most so many at a time. */
function* chunksOf(count: number, width: number, most: number) {
  for (let start = 0; start < count; start += Math.max(1, most)) {
    const tokens = Math.min(Math.max(1, most), count - start);
    const rows = ({ data }: Reals): Reals =>
      float32([tokens, width], data.subarray(start * width, (start + tokens) * width));
    yield { tokens, rows };
  }
}

/** The teacher's output layer, and what both output layers read [T, d]. */
export interface DivergenceInputs {
  readonly teacherHead: FileTensor;
  readonly teacherHidden: Reals;
  readonly head: Reals;
  readonly hidden: Reals;
}

/**
 * The divergence of some tokens at a time, so that no more than `logitElements` logits of each network are in memory.
 * @param batch see {@link DivergenceSpec}. @param dhead the derivative by the output layer is added to it [V, d].
 * @returns Σ KL over the tokens, in nats, and the derivative [T, d] of Σ KL / batch by `hidden`.
 */
export async function divergenceOf(
  cache: ProgramCache,
  { teacherHead, teacherHidden, head, hidden }: DivergenceInputs,
  { batch, logitElements }: { readonly batch: number; readonly logitElements: number },
  dhead: Float32Array,
  signal?: AbortSignal,
): Promise<{ sum: number; dhidden: Reals }> {
  const [count = 0, width = 0] = hidden.dims;
  const [vocabulary = 0] = head.dims;
  const teacherType = cache.runtime.inputType(teacherHead.dtype);
  const dhidden = float32(hidden.dims, new Float32Array(hidden.data.length));
  let sum = 0;
  for (const { tokens, rows } of chunksOf(count, width, Math.floor(logitElements / vocabulary))) {
    const program = await cache.get(DIVERGENCE, { tokens, width, vocabulary, teacherType, batch });
    const given = { teacherHead, head, teacherHidden: rows(teacherHidden), hidden: rows(hidden) };
    const found = await program.run(given, signal, { dhidden: rows(dhidden) });
    addTo(dhead, found.dhead.data);
    sum += found.divergence.data.reduce((total, one) => total + one, 0);
  }
  return { sum, dhidden };
}

/** Adds in place. */
export function addTo(sum: Float32Array, addend: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + addend[i]!;
}
