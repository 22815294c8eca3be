import { fileRows } from '../../formats/tensor-io.ts';
import { float32, int64 } from '../../protocol/tensor.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { ofPeaked } from '../graph/lower/tiles.ts';
import { add, equal, exp, maximum, mul, sub, where } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reduceMax, reduceSum } from '../graph/ops/reduce.ts';
import { cast, reshape, toReal } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { HeadLoss, type HeadSpec, type Hidden, type OutputLoss } from './output-loss.ts';

/** Below every logit, and far enough from the largest float32 to stay finite. */
const LOWEST = -1e30;

/**
 * The loss over slices of the vocabulary, so that each row of the output layer is read and converted once per pass.
 * Forward keeps a running maximum and sum of exponentials; backward computes each slice's logits again, ∂h = Σ w·(softmax − onehot)·W.
 */
export class SlicedLoss extends HeadLoss implements OutputLoss {
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
    const column = (value: number) => float32([tokens, 1], new Float32Array(tokens).fill(value));
    let state = { top: column(LOWEST), sum: column(0), picked: column(0) };
    for (const slice of this.#slices(tokens)) {
      const program = await this.cache.get(LOSS_SLICE, this.#spec(hidden, slice.rows));
      const out = await program.run({ ...state, hidden, ...this.#sliceTensors(slice, labels) }, signal);
      state = { top: out.newTop, sum: out.newSum, picked: out.newPicked };
    }
    const [top, sum, picked] = [state.top.data, state.sum.data, state.picked.data];
    const logSum = top.map((value, t) => value + Math.log(sum[t]!));
    return { nll: logSum.map((value, t) => (labels[t]! < 0 ? 0 : value - picked[t]!)), logSum };
  }

  async backward(hidden: Hidden, labels: Int32Array, weight: number, signal?: AbortSignal) {
    const { nll, logSum } = await this.#pass(hidden, labels, signal);
    const tokens = labels.length;
    const weights = Float32Array.from(labels, (label) => (label < 0 ? 0 : weight));
    const given = { hidden, logSum: float32([tokens, 1], logSum), weight: float32([tokens, 1], weights) };
    let dhidden = float32(hidden.dims, new Float32Array(hidden.data.length));
    for (const slice of this.#slices(tokens)) {
      const program = await this.cache.get(LOSS_SLICE_BACKWARD, this.#spec(hidden, slice.rows));
      const tensors = { ...given, dhidden, ...this.#sliceTensors(slice, labels) };
      dhidden = (await program.run(tensors, signal)).newDhidden;
    }
    return { nll, dhidden };
  }

  #slices(tokens: number): { start: number; rows: number }[] {
    const { vocabulary } = this;
    const rows = Math.max(1, Math.min(vocabulary, Math.floor(this.logitElements / tokens)));
    return Array.from({ length: Math.ceil(vocabulary / rows) }, (_, i) => ({
      start: i * rows,
      rows: Math.min(rows, vocabulary - i * rows),
    }));
  }

  /** The slice's rows of the output layer, and labels counted from its start. */
  #sliceTensors({ start, rows }: { start: number; rows: number }, labels: Int32Array) {
    const head = fileRows(this.head, start, rows);
    const shifted = BigInt64Array.from(labels, (label) => BigInt(label - start));
    return { head, labels: int64([labels.length, 1], shifted) };
  }

  #spec(hidden: Hidden, rows: number): SliceSpec {
    return { ...this.headSpec(hidden), rows };
  }
}

interface SliceSpec extends HeadSpec {
  /** Rows of the output layer. */
  readonly rows: number;
}

interface SliceExpression {
  readonly graph: Graph;
  readonly head: Value;
  /** [T, rows] */
  readonly logits: Value;
  /** Column equals label, bool [T, rows]. */
  readonly isLabel: Value;
}

function sliceExpression({ tokens, width, rows, dtype }: SliceSpec): SliceExpression {
  const graph = new Graph();
  const head = toReal(graph.input('head', [rows, width], dtype));
  const logits = gemm(graph.input('hidden', [tokens, width]), head, { transB: true });
  const columns = graph.ints(Array.from({ length: rows }, (_, column) => column));
  const isLabel = equal(graph.input('labels', [tokens, 1], 'int64'), reshape(columns, [1, rows]));
  return { graph, head, logits, isLabel };
}

type Column = 'newTop' | 'newSum' | 'newPicked';

const LOSS_SLICE: ProgramKind<SliceSpec, Record<Column, Reals>> = {
  name: 'loss-slice',
  build(spec) {
    const { graph, logits, isLabel } = sliceExpression(spec);
    const column = (name: string): Value => graph.input(name, [spec.tokens, 1]);
    const [top, sum, picked] = [column('top'), column('sum'), column('picked')];
    const newTop = maximum(top, reduceMax(logits, [1]));
    const newSum = add(mul(sum, exp(sub(top, newTop))), reduceSum(exp(sub(logits, newTop)), [1]));
    const newPicked = add(picked, reduceSum(where(isLabel, logits, graph.scalar(0)), [1]));
    return { graph, outputs: { newTop, newSum, newPicked }, precision: spec.precision };
  },
};

const LOSS_SLICE_BACKWARD: ProgramKind<SliceSpec, { newDhidden: Reals }> = {
  name: 'loss-slice-backward',
  build(spec) {
    const { graph, head, logits, isLabel } = sliceExpression(spec);
    const probability = exp(sub(logits, graph.input('logSum', [spec.tokens, 1])));
    const dlogits = mul(sub(probability, cast(isLabel, 'float32')), graph.input('weight', [spec.tokens, 1]));
    const dhidden = graph.input('dhidden', [spec.tokens, spec.width]);
    const newDhidden = add(
      dhidden,
      graph.deriving(true, () => gemm(dlogits, head)),
    );
    return { graph, outputs: { newDhidden }, precision: ofPeaked(spec.precision) };
  },
};
