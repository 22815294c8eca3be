import { type FileTensor, float32, type HostTensor, int64 } from '../../protocol/tensor.ts';
import { tokenLoss, tokenLossGradient } from '../graph/fused/token-loss.ts';
import { Graph } from '../graph/graph.ts';
import { ofPeaked, roundsForward } from '../graph/lower/tiles.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { toReal } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { HeadLoss, type HeadSpec, type Hidden, type OutputLoss } from './output-loss.ts';
import { wideTable } from './wide-table.ts';

/**
 * The loss of some tokens at a time, each with its logits over the whole vocabulary: logits are computed once, loss and
 * derivative come out of one pass over them. Each chunk reads the whole output layer in float32 unless its products take
 * bfloat16, so this is for output layers that are small beside the products or need no conversion.
 */
export class ChunkedLoss extends HeadLoss implements OutputLoss {
  #wideHead: Reals | null = null;

  async forward(hidden: Hidden, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const nll = new Float32Array(labels.length);
    const head = this.#headForProducts;
    for (const { start, tokens } of this.#chunks(labels.length)) {
      const program = await this.cache.get(LOSS, this.#spec(head, hidden, tokens));
      const given = this.#tensors(head, hidden, labels, start, tokens);
      await program.run(given, signal, { nll: rowsOf(nll, start, tokens) });
    }
    return nll;
  }

  async backward(hidden: Hidden, labels: Int32Array, weight: number, signal?: AbortSignal) {
    const nll = new Float32Array(labels.length);
    const dhidden = float32(hidden.dims, new Float32Array(hidden.data.length));
    const head = this.#headForProducts;
    for (const { start, tokens } of this.#chunks(labels.length)) {
      const program = await this.cache.get(LOSS_BACKWARD, this.#spec(head, hidden, tokens));
      const lossWeight = float32([tokens], new Float32Array(tokens).fill(weight));
      const given = { ...this.#tensors(head, hidden, labels, start, tokens), lossWeight };
      const into = { nll: rowsOf(nll, start, tokens), dhidden: rows(dhidden, start, tokens) };
      await program.run(given, signal, into);
    }
    return { nll, dhidden };
  }

  /** As many tokens in each chunk as possible, all but the last one equal, so that two programs serve them. */
  #chunks(tokens: number): { start: number; tokens: number }[] {
    const most = Math.max(1, Math.floor(this.logitElements / this.vocabulary));
    const size = Math.ceil(tokens / Math.ceil(tokens / most));
    return Array.from({ length: Math.ceil(tokens / size) }, (_, i) => ({
      start: i * size,
      tokens: Math.min(size, tokens - i * size),
    }));
  }

  /** The output layer as products take it: converted once, where every chunk would convert it anew. */
  get #headForProducts(): FileTensor | Reals {
    const { ownKernels, bfloat16Products, roundedProducts } = this.cache.abilities;
    const readsBfloat16 = bfloat16Products || (roundedProducts && roundsForward(this.precision));
    if (this.head.dtype === 'float32' || readsBfloat16 || !ownKernels) return this.head;
    this.#wideHead ??= wideTable(this.head);
    return this.#wideHead;
  }

  #tensors(head: FileTensor | Reals, hidden: Hidden, labels: Int32Array, start: number, tokens: number) {
    const part = BigInt64Array.from(labels.subarray(start, start + tokens), BigInt);
    return { head, hidden: rows(hidden, start, tokens), labels: int64([tokens], part) };
  }

  #spec(head: FileTensor | Reals, hidden: Hidden, tokens: number): ChunkSpec {
    const dtype = this.cache.runtime.inputType(head.dtype);
    return { ...this.headSpec(hidden), tokens, dtype, vocabulary: this.vocabulary };
  }
}

interface ChunkSpec extends HeadSpec {
  readonly vocabulary: number;
}

function chunkExpression({ tokens, width, vocabulary, dtype }: ChunkSpec) {
  const graph = new Graph();
  const head = toReal(graph.input('head', [vocabulary, width], dtype));
  const logits = gemm(graph.input('hidden', [tokens, width]), head, { transB: true });
  return { graph, head, logits, labels: graph.input('labels', [tokens], 'int64') };
}

const LOSS: ProgramKind<ChunkSpec, { nll: Reals }> = {
  name: 'loss',
  build(spec) {
    const { graph, logits, labels } = chunkExpression(spec);
    return { graph, outputs: { nll: tokenLoss(logits, labels) }, precision: spec.precision };
  },
};

const LOSS_BACKWARD: ProgramKind<ChunkSpec, { nll: Reals; dhidden: Reals }> = {
  name: 'loss-backward',
  build(spec) {
    const { graph, head, logits, labels } = chunkExpression(spec);
    const weight = graph.input('lossWeight', [spec.tokens]);
    const [dlogits, nll] = tokenLossGradient(logits, labels, weight);
    const dhidden = graph.deriving(true, () => gemm(dlogits, head));
    // Probabilities of tokens: nearly all are far below the largest.
    return { graph, outputs: { nll, dhidden }, precision: ofPeaked(spec.precision) };
  },
};

/** A view of rows of a [T, d] tensor. */
function rows(tensor: HostTensor<Float32Array>, start: number, count: number): HostTensor<Float32Array> {
  const width = tensor.data.length / (tensor.dims[0] ?? 1);
  return float32([count, width], tensor.data.subarray(start * width, (start + count) * width));
}

function rowsOf(data: Float32Array, start: number, count: number): HostTensor<Float32Array> {
  return float32([count], data.subarray(start, start + count));
}
