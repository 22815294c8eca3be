import { type DType, type FileTensor, float32, type HostTensor, int64 } from '../../protocol/tensor.ts';
import { tokenLoss, tokenLossGradient } from '../graph/fused/token-loss.ts';
import { Graph } from '../graph/graph.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { toReal } from '../graph/ops/shape.ts';
import { Program } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Runtime } from '../runtime/types.ts';
import type { Hidden, OutputLoss } from './output-loss.ts';

/**
 * The loss of some tokens at a time, each with its logits over the whole vocabulary: logits are computed once, loss and
 * derivative come out of one pass over them. Each chunk reads the whole output layer, and converts it to float32 unless
 * its products take bfloat16, so this is for output layers that are small beside the products or need no conversion.
 */
export class ChunkedLoss implements OutputLoss {
  readonly #cache: ProgramCache;
  readonly #head: FileTensor;
  readonly #chunk: number;
  readonly #precision: Precision;

  /** @param head output layer [V, d], in its file. @param logitElements logits in memory at once. */
  constructor(
    cache: ProgramCache,
    head: FileTensor,
    logitElements: number,
    precision: Precision = 'float32',
  ) {
    this.#cache = cache;
    this.#head = head;
    this.#precision = precision;
    this.#chunk = Math.max(1, Math.floor(logitElements / head.dims[0]!));
  }

  async forward(hidden: Hidden, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const nll = new Float32Array(labels.length);
    for (const { start, tokens } of this.#chunks(labels.length)) {
      const program = await this.#program('loss', hidden, tokens, compileLoss);
      const given = this.#tensors(hidden, labels, start, tokens);
      await program.run(given, signal, { nll: rowsOf(nll, start, tokens) });
    }
    return nll;
  }

  async backward(hidden: Hidden, labels: Int32Array, weight: number, signal?: AbortSignal) {
    const nll = new Float32Array(labels.length);
    const dhidden = float32(hidden.dims, new Float32Array(hidden.data.length));
    for (const { start, tokens } of this.#chunks(labels.length)) {
      const program = await this.#program('loss-backward', hidden, tokens, compileLossBackward);
      const lossWeight = float32([tokens], new Float32Array(tokens).fill(weight));
      const given = { ...this.#tensors(hidden, labels, start, tokens), lossWeight };
      const into = { nll: rowsOf(nll, start, tokens), dhidden: rows(dhidden, start, tokens) };
      await program.run(given, signal, into);
    }
    return { nll, dhidden };
  }

  /** As many tokens in each chunk as possible, all but the last one equal, so that two programs serve them. */
  #chunks(tokens: number): { start: number; tokens: number }[] {
    const size = Math.ceil(tokens / Math.ceil(tokens / this.#chunk));
    return Array.from({ length: Math.ceil(tokens / size) }, (_, i) => ({
      start: i * size,
      tokens: Math.min(size, tokens - i * size),
    }));
  }

  #tensors(hidden: Hidden, labels: Int32Array, start: number, tokens: number) {
    const part = BigInt64Array.from(labels.subarray(start, start + tokens), BigInt);
    return { head: this.#head, hidden: rows(hidden, start, tokens), labels: int64([tokens], part) };
  }

  #program(name: string, hidden: Hidden, tokens: number, compile: CompileChunk): Promise<Program> {
    const width = hidden.dims[1]!;
    const dtype = this.#cache.runtime.inputType(this.#head.dtype);
    const shape = { tokens, width, vocabulary: this.#head.dims[0]!, dtype, precision: this.#precision };
    return this.#cache.get(`${name} ${JSON.stringify(shape)}`, (runtime) => compile(runtime, shape));
  }
}

interface ChunkShape {
  readonly tokens: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly dtype: DType;
  readonly precision: Precision;
}

type CompileChunk = (runtime: Runtime, shape: ChunkShape) => Promise<Program>;

function chunkExpression({ tokens, width, vocabulary, dtype }: ChunkShape) {
  const graph = new Graph();
  const head = toReal(graph.input('head', [vocabulary, width], dtype));
  const logits = gemm(graph.input('hidden', [tokens, width]), head, { transB: true });
  return { graph, head, logits, labels: graph.input('labels', [tokens], 'int64') };
}

function compileLoss(runtime: Runtime, shape: ChunkShape): Promise<Program> {
  const { graph, logits, labels } = chunkExpression(shape);
  return Program.compile(runtime, graph, { nll: tokenLoss(logits, labels) }, { precision: shape.precision });
}

function compileLossBackward(runtime: Runtime, shape: ChunkShape): Promise<Program> {
  const { graph, head, logits, labels } = chunkExpression(shape);
  const weight = graph.input('lossWeight', [shape.tokens]);
  const [dlogits, nll] = tokenLossGradient(logits, labels, weight);
  return Program.compile(
    runtime,
    graph,
    { nll, dhidden: gemm(dlogits, head) },
    { precision: shape.precision },
  );
}

/** A view of rows of a [T, d] tensor. */
function rows(tensor: HostTensor<Float32Array>, start: number, count: number): HostTensor<Float32Array> {
  const width = tensor.dims[1]!;
  return float32([count, width], tensor.data.subarray(start * width, (start + count) * width));
}

function rowsOf(data: Float32Array, start: number, count: number): HostTensor<Float32Array> {
  return float32([count], data.subarray(start, start + count));
}
