import {
  BYTES_PER_ELEMENT,
  type DType,
  type FileTensor,
  float32,
  type HostTensor,
  int64,
} from '../../protocol/tensor.ts';
import { Graph, type Value } from '../graph/graph.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import { add, equal, exp, maximum, mul, sub, where } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reduceMax, reduceSum } from '../graph/ops/reduce.ts';
import { cast, reshape, toReal } from '../graph/ops/shape.ts';
import { Program } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Runtime } from '../runtime/types.ts';
import type { Hidden, OutputLoss } from './output-loss.ts';

/** Below every logit, and far enough from the largest float32 to stay finite. */
const LOWEST = -1e30;

/**
 * The loss over slices of the vocabulary, so that each row of the output layer is read and converted once per pass. Forward keeps a running maximum and sum of exponentials;
 * backward computes each slice's logits again, ∂h = Σ w·(softmax − onehot)·W.
 */
export class SlicedLoss implements OutputLoss {
  readonly #cache: ProgramCache;
  readonly #head: FileTensor;
  readonly #sliceElements: number;
  readonly #precision: Precision;

  /** @param head output layer [V, d], in its file. @param sliceElements logits in memory at once. */
  constructor(
    cache: ProgramCache,
    head: FileTensor,
    sliceElements: number,
    precision: Precision = 'float32',
  ) {
    this.#cache = cache;
    this.#head = head;
    this.#sliceElements = sliceElements;
    this.#precision = precision;
  }

  async forward(hidden: Hidden, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    return (await this.#pass(hidden, labels, signal)).nll;
  }

  /** @returns nll [T] in nats and the log of the softmax's denominator [T]. */
  async #pass(
    hidden: Hidden,
    labels: Int32Array,
    signal?: AbortSignal,
  ): Promise<{ nll: Float32Array; logSum: Float32Array }> {
    const tokens = labels.length;
    let state: Record<string, HostTensor> = {
      top: float32([tokens, 1], new Float32Array(tokens).fill(LOWEST)),
      sum: float32([tokens, 1], new Float32Array(tokens)),
      picked: float32([tokens, 1], new Float32Array(tokens)),
    };
    for (const slice of this.#slices(tokens)) {
      const program = await this.#program('loss-slice', hidden, slice.rows, compileForwardSlice);
      const out = await program.run({ ...state, hidden, ...this.#sliceTensors(slice, labels) }, signal);
      state = { top: out.newTop!, sum: out.newSum!, picked: out.newPicked! };
    }
    const [top, sum, picked] = [state.top!, state.sum!, state.picked!].map(
      ({ data }) => data as Float32Array,
    );
    const logSum = top!.map((value, t) => value + Math.log(sum![t]!));
    return { nll: logSum.map((value, t) => (labels[t]! < 0 ? 0 : value - picked![t]!)), logSum };
  }

  async backward(hidden: Hidden, labels: Int32Array, weight: number, signal?: AbortSignal) {
    const { nll, logSum } = await this.#pass(hidden, labels, signal);
    const tokens = labels.length;
    const weights = Float32Array.from(labels, (label) => (label < 0 ? 0 : weight));
    const given = { hidden, logSum: float32([tokens, 1], logSum), weight: float32([tokens, 1], weights) };
    let dhidden: HostTensor = float32(hidden.dims, new Float32Array(hidden.data.length));
    for (const slice of this.#slices(tokens)) {
      const program = await this.#program('loss-slice-backward', hidden, slice.rows, compileBackwardSlice);
      const tensors = { ...given, dhidden, ...this.#sliceTensors(slice, labels) };
      dhidden = (await program.run(tensors, signal)).newDhidden!;
    }
    return { nll, dhidden: dhidden as Hidden };
  }

  #slices(tokens: number): { start: number; rows: number }[] {
    const vocabulary = this.#head.dims[0]!;
    const rows = Math.max(1, Math.min(vocabulary, Math.floor(this.#sliceElements / tokens)));
    return Array.from({ length: Math.ceil(vocabulary / rows) }, (_, i) => ({
      start: i * rows,
      rows: Math.min(rows, vocabulary - i * rows),
    }));
  }

  /** The slice's rows of the output layer, and labels counted from its start. */
  #sliceTensors({ start, rows }: { start: number; rows: number }, labels: Int32Array) {
    const { dims, dtype, byteOffset } = this.#head;
    const rowBytes = dims[1]! * BYTES_PER_ELEMENT[dtype];
    const head: FileTensor = {
      ...this.#head,
      dims: [rows, dims[1]!],
      byteOffset: byteOffset + start * rowBytes,
      byteLength: rows * rowBytes,
    };
    const shifted = BigInt64Array.from(labels, (label) => BigInt(label - start));
    return { head, labels: int64([labels.length, 1], shifted) };
  }

  #program(name: string, hidden: Hidden, rows: number, compile: CompileSlice): Promise<Program> {
    const [tokens, width] = hidden.dims as [number, number];
    const dtype = this.#cache.runtime.inputType(this.#head.dtype);
    const shape = { tokens, width, rows, dtype, precision: this.#precision };
    return this.#cache.get(`${name} ${JSON.stringify(shape)}`, (runtime) => compile(runtime, shape));
  }
}

interface SliceShape {
  readonly tokens: number;
  readonly width: number;
  readonly rows: number;
  readonly dtype: DType;
  readonly precision: Precision;
}

type CompileSlice = (runtime: Runtime, shape: SliceShape) => Promise<Program>;

interface SliceExpression {
  readonly graph: Graph;
  readonly head: Value;
  /** [T, rows] */
  readonly logits: Value;
  /** Column equals label, bool [T, rows]. */
  readonly isLabel: Value;
}

function sliceExpression({ tokens, width, rows, dtype }: SliceShape): SliceExpression {
  const graph = new Graph();
  const head = toReal(graph.input('head', [rows, width], dtype));
  const logits = gemm(graph.input('hidden', [tokens, width]), head, { transB: true });
  const columns = graph.ints(Array.from({ length: rows }, (_, column) => column));
  const isLabel = equal(graph.input('labels', [tokens, 1], 'int64'), reshape(columns, [1, rows]));
  return { graph, head, logits, isLabel };
}

function compileForwardSlice(runtime: Runtime, shape: SliceShape): Promise<Program> {
  const { graph, logits, isLabel } = sliceExpression(shape);
  const column = [shape.tokens, 1];
  const [top, sum, picked] = ['top', 'sum', 'picked'].map((name) => graph.input(name, column));
  const newTop = maximum(top!, reduceMax(logits, [1]));
  const newSum = add(mul(sum!, exp(sub(top!, newTop))), reduceSum(exp(sub(logits, newTop)), [1]));
  const newPicked = add(picked!, reduceSum(where(isLabel, logits, graph.scalar(0)), [1]));
  return Program.compile(runtime, graph, { newTop, newSum, newPicked }, { precision: shape.precision });
}

function compileBackwardSlice(runtime: Runtime, shape: SliceShape): Promise<Program> {
  const { graph, head, logits, isLabel } = sliceExpression(shape);
  const probability = exp(sub(logits, graph.input('logSum', [shape.tokens, 1])));
  const dlogits = mul(sub(probability, cast(isLabel, 'float32')), graph.input('weight', [shape.tokens, 1]));
  const dhidden = graph.input('dhidden', [shape.tokens, shape.width]);
  const newDhidden = add(dhidden, gemm(dlogits, head));
  return Program.compile(runtime, graph, { newDhidden }, { precision: shape.precision });
}
