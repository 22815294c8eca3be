import { elementCount, float32, type HostTensor, int64, type Tensor } from '../../protocol/tensor.ts';
import { hasByteCodes } from '../graph/fused/row-codes.ts';
import { hasRowCodes } from '../graph/fused/weight-quantize.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { Program, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { ropeTables } from '../model/rope.ts';
import { ChunkedLoss } from './chunked-loss.ts';
import * as ends from './ends-programs.ts';
import { type LayerTypes, layerTensors, typesOf } from './layer-inputs.ts';
import { compileBackward, compileForward, type NetworkMode } from './layer-programs.ts';
import type { BatchShape, LayerQuantizers, LayerShape, RotationSites } from './layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory, preparedBytes } from './memory-plan.ts';
import type { OutputLoss } from './output-loss.ts';
import { type MatrixTensors, PreparedWeights, type WeightRotations } from './prepared-weights.ts';
import { type RoundedSource, RoundedWeights } from './rounded-weights.ts';
import { SlicedLoss } from './sliced-loss.ts';
import { Tape, type TapeLevel } from './tape.ts';

/** The matrices of a rotated network: R1 [d, d] and one R2 [h, h] per layer; null where there is none. */
export interface RotationMatrices {
  readonly r1: Float32Array | null;
  readonly r2: readonly Float32Array[] | null;
}

export interface NetworkOptions {
  readonly mode: NetworkMode;
  readonly quantizers: LayerQuantizers;
  readonly sites: RotationSites;
  readonly centreEmbedding: boolean;
  readonly memory?: NetworkMemory;
  /** Weights of the merged network that were rounded beforehand; absent: they are rotated and rounded when needed. */
  readonly rounded?: RoundedSource | undefined;
  /** Of products; `float32` where absent. */
  readonly precision?: Precision | undefined;
}

const NO_MATRICES: MatrixTensors = { r1: null, r2: null };
const NO_ROTATIONS: WeightRotations = { now: NO_MATRICES, searchedAt: NO_MATRICES };

export type Activations = HostTensor<Float32Array>;

/**
 * A network as a sequence of compiled programs over mmap'd weights, one layer at a time. Holds no activations;
 * prepared weights are kept until {@link setRotations}.
 */
export class Network {
  readonly checkpoint: Checkpoint;
  readonly options: NetworkOptions;
  readonly #cache: ProgramCache;
  readonly memory: NetworkMemory;
  readonly #loss: OutputLoss;
  readonly #tables = new Map<number, { cos: Tensor; sin: Tensor }>();
  /** Programs by part, layer and batch: the full key is long, and layers of one shape share a program in the cache. */
  readonly #layerPrograms = new Map<string, Promise<Program>>();
  readonly #prepared: PreparedWeights;
  readonly #rounded: RoundedWeights | null;
  #rotations: WeightRotations = NO_ROTATIONS;
  #searchedAt: { readonly matrices: RotationMatrices; readonly tensors: MatrixTensors } | null = null;
  #tape: Tape | null = null;

  constructor(cache: ProgramCache, checkpoint: Checkpoint, options: NetworkOptions) {
    this.#cache = cache;
    this.memory = options.memory ?? DEFAULT_MEMORY;
    this.#loss = outputLoss(cache, checkpoint, this.memory, options.precision);
    this.checkpoint = checkpoint;
    this.options = options;
    this.#prepared = new PreparedWeights(cache, this.keepsPrepared);
    this.#rounded = options.rounded ? new RoundedWeights(options.rounded, this.keepsPrepared) : null;
  }

  get layers(): number {
    return this.checkpoint.config.layers;
  }

  /**
   * Sets R1 and R2; weights are prepared anew when they are needed next.
   * @param searchedAt rotations that the weights' clip ratios are searched on, the same object as long as they serve.
   */
  setRotations(matrices: RotationMatrices, searchedAt = matrices): void {
    const known = this.#searchedAt;
    const now = this.#matrixTensors(matrices);
    const tensors =
      searchedAt === matrices
        ? now
        : known?.matrices === searchedAt
          ? known.tensors
          : this.#matrixTensors(searchedAt);
    this.#searchedAt = { matrices: searchedAt, tensors };
    this.#rotations = { now, searchedAt: tensors };
  }

  #matrixTensors({ r1, r2 }: RotationMatrices): MatrixTensors {
    const { hiddenSize: d, headDim: h } = this.checkpoint.config;
    return { r1: r1 && float32([d, d], r1), r2: r2?.map((matrix) => float32([h, h], matrix)) ?? null };
  }

  /** Whether the prepared weights of all layers stay in memory; else those of one layer at a time. */
  get keepsPrepared(): boolean {
    if (this.options.mode !== 'merged') return true;
    return preparedBytes(this.checkpoint.config) <= this.memory.preparedBytes;
  }

  /** @param ids token ids, B·S of them. @returns residual [B·S, d]. */
  async embed(ids: Int32Array, signal?: AbortSignal): Promise<Activations> {
    const program = await this.#end('embedding', ids.length, ends.compileEmbedding);
    return (await program.run(this.#endTensors({ ids: idTensor(ids) }), signal)).x as Activations;
  }

  /** @param dx ∂loss/∂x of the first layer. @returns ∂loss/∂R1 through the embedding, or null without R1. */
  async embedBackward(ids: Int32Array, dx: Activations, signal?: AbortSignal): Promise<Float32Array | null> {
    if (!this.#residualRotated) return null;
    const program = await this.#end('embedding-backward', ids.length, ends.compileEmbeddingBackward);
    const { r1Gradient } = await program.run(this.#endTensors({ ids: idTensor(ids), dx }), signal);
    return r1Gradient!.data as Float32Array;
  }

  /** y = layer(x), x and y [B·S, d]. */
  async layer(index: number, x: Activations, shape: BatchShape, signal?: AbortSignal): Promise<Activations> {
    const tensors = await this.#layerTensors(index, shape, signal);
    const program = await this.#layerProgram('forward', index, shape, 'nothing');
    return (await program.run({ ...tensors, x }, signal)).y as Activations;
  }

  /** Memory for passes over so many tokens; the same one as long as the shape stays. */
  tape(shape: BatchShape): Tape {
    const known = this.#tape;
    if (known && known.shape.batch === shape.batch && known.shape.sequence === shape.sequence) return known;
    const tapeShape = { ...shape, activationCodes: this.#activationCodes };
    this.#tape = new Tape(this.checkpoint.config, tapeShape, this.memory.tapeBytes);
    return this.#tape;
  }

  /** Layer `index` from the tape's residual before it to the one after it, keeping what the tape asks for. */
  async record(index: number, tape: Tape, signal?: AbortSignal): Promise<void> {
    const tensors = await this.#layerTensors(index, tape.shape, signal);
    const program = await this.#layerProgram('forward', index, tape.shape, tape.levels[index]!);
    const into = { y: tape.residuals[index + 1]!, ...tape.kept(index) };
    await program.run({ ...tensors, x: tape.residuals[index]! }, signal, into);
  }

  /**
   * ∂loss/∂x of layer `index` from ∂loss/∂y, with the layer's share of the rotation gradients. What the tape did not
   * keep is computed again. dx is valid until the layer after next.
   */
  async layerBackward(
    index: number,
    tape: Tape,
    dy: Activations,
    signal?: AbortSignal,
  ): Promise<{ dx: Activations; r1: Float32Array | null; r2: Float32Array | null }> {
    const tensors = await this.#layerTensors(index, tape.shape, signal);
    const program = await this.#layerProgram('backward', index, tape.shape, tape.levels[index]!);
    const { hiddenSize: d, headDim: h } = this.checkpoint.config;
    const dx = tape.gradient(index);
    const r1 = program.outputs.includes('r1Gradient') ? new Float32Array(d * d) : null;
    const r2 = program.outputs.includes('r2Gradient') ? new Float32Array(h * h) : null;
    await program.run({ ...tensors, ...tape.kept(index), x: tape.residuals[index]!, dy }, signal, {
      dx,
      ...(r1 && { r1Gradient: float32([d, d], r1) }),
      ...(r2 && { r2Gradient: float32([h, h], r2) }),
    });
    return { dx, r1, r2 };
  }

  /** Logits [T, V] of a residual [T, d]; T·V must fit memory. */
  async logits(x: Activations, signal?: AbortSignal): Promise<Activations> {
    const program = await this.#end('logits', x.dims[0]!, ends.compileLogits);
    return (await program.run(this.#endTensors({ x }), signal)).logits as Activations;
  }

  /** Negative log-likelihood [T] in nats, float32 logits, in bounded memory. */
  async loss(x: Activations, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    return this.#loss.forward(await this.#hidden(x, signal), labels, signal);
  }

  /**
   * Loss and its derivative for Σ_t weight·nll_t.
   * @returns nll [T], ∂loss/∂x [T, d] and ∂loss/∂R1 through the head (null without R1).
   */
  async lossBackward(
    x: Activations,
    labels: Int32Array,
    weight: number,
    signal?: AbortSignal,
  ): Promise<{ nll: Float32Array; dx: Activations; r1: Float32Array | null }> {
    const hidden = await this.#hidden(x, signal);
    const { nll, dhidden } = await this.#loss.backward(hidden, labels, weight, signal);
    const program = await this.#end('hidden-backward', labels.length, ends.compileHiddenBackward);
    const { dx, r1Gradient } = await program.run(this.#endTensors({ x, dhidden }), signal);
    return { nll, dx: dx as Activations, r1: (r1Gradient?.data as Float32Array | undefined) ?? null };
  }

  async #hidden(x: Activations, signal?: AbortSignal): Promise<Activations> {
    const program = await this.#end('hidden', x.dims[0]!, ends.compileHidden);
    return (await program.run(this.#endTensors({ x }), signal)).hidden as Activations;
  }

  /** In the unrotated mode R1 lives at the quantizers only. */
  get #residualRotated(): boolean {
    return this.options.mode === 'merged' && this.options.sites.r1;
  }

  #end(name: string, tokens: number, compile: typeof ends.compileLogits): Promise<Program> {
    const { config, embedding, lmHead, finalNorm } = this.checkpoint;
    const { runtime } = this.#cache;
    const shape: ends.EndsShape = {
      config,
      tokens,
      r1: this.#residualRotated,
      centreEmbedding: this.options.centreEmbedding,
      embeddingType: runtime.inputType(embedding.dtype),
      headType: runtime.inputType(lmHead.dtype),
      normType: runtime.inputType(finalNorm.dtype),
      precision: this.options.precision,
    };
    return this.#cache.get(`${name} ${JSON.stringify(shape)}`, (runtime) => compile(runtime, shape));
  }

  #endTensors(tensors: Tensors): Tensors {
    const { embedding, lmHead, finalNorm } = this.checkpoint;
    return {
      embedding,
      lmHead,
      finalNorm,
      ...(this.#rotations.now.r1 && { r1: this.#rotations.now.r1 }),
      ...tensors,
    };
  }

  async #layerTensors(index: number, shape: BatchShape, signal?: AbortSignal): Promise<Tensors> {
    const context = this.layerContext(index, shape);
    const own = { ...context.tensors, ...this.matrices(index) };
    if (this.options.mode !== 'merged') return own;
    if (this.#rounded) return { ...own, ...this.#rounded.of(index, this.weightCodes) };
    return { ...own, ...(await this.#prepared.of(index, context, this.#rotations, signal)) };
  }

  /** R1 and the layer's R2, by program input name, as far as there are any. */
  matrices(index: number): Tensors {
    const { r1, r2 } = this.#rotations.now;
    return { ...(r1 && { r1 }), ...(r2 && { r2: r2[index]! }) };
  }

  /** Where products with codes have a kernel, prepared weights are half as large and their products faster. */
  get weightCodes(): boolean {
    const { mode, quantizers } = this.options;
    return mode === 'merged' && this.#cache.runtime.multipliesBfloat16 && hasRowCodes(quantizers.weights);
  }

  /** Rounded activations, too, where codes of a byte have a kernel: they are kept instead of multiplied again by R1. */
  get #activationCodes(): boolean {
    const { mode, quantizers, sites } = this.options;
    const { input } = quantizers;
    const { hiddenSize } = this.checkpoint.config;
    const rounds = sites.r1 && !input.scaleGradient && hasByteCodes(input, hiddenSize);
    return mode === 'unrotated' && rounds && this.#cache.runtime.kernels === 'native';
  }

  #positions({ sequence }: BatchShape): { cos: Tensor; sin: Tensor } {
    const known = this.#tables.get(sequence);
    if (known) return known;
    const { config } = this.checkpoint;
    const { cos, sin } = ropeTables(config, sequence);
    const dims = [sequence, config.headDim / 2];
    const tables = { cos: float32(dims, cos), sin: float32(dims, sin) };
    this.#tables.set(sequence, tables);
    return tables;
  }

  #layerProgram(
    part: LayerPart,
    index: number,
    batch: BatchShape,
    level: TapeLevel = 'nothing',
  ): Promise<Program> {
    const shortKey = `${part} ${level} ${index} ${batch.batch}x${batch.sequence}`;
    const program = this.#layerPrograms.get(shortKey) ?? this.#sharedLayerProgram(part, index, batch, level);
    this.#layerPrograms.set(shortKey, program);
    return program;
  }

  #sharedLayerProgram(part: LayerPart, index: number, batch: BatchShape, level: TapeLevel): Promise<Program> {
    const { mode } = this.options;
    const { shape, types } = this.layerContext(index, batch);
    const { config, window, quantizers, rotations, weightCodes, activationCodes, precision } = shape;
    const codes = [weightCodes, activationCodes];
    const dependsOn = [batch, window, config, quantizers, rotations, codes, precision, types];
    return this.#cache.get(`${part} ${level} ${mode} ${JSON.stringify(dependsOn)}`, (runtime) => {
      return (part === 'forward' ? compileForward : compileBackward)(runtime, shape, types, mode, level);
    });
  }

  /** What a graph of layer `index` is built from, and the tensors that it reads. */
  layerContext(index: number, batch: BatchShape): { shape: LayerShape; types: LayerTypes; tensors: Tensors } {
    const { config } = this.checkpoint;
    const weights = layerTensors(this.checkpoint.layer(index));
    const limit = config.layerWindows[index] ?? null;
    const window = limit !== null && limit < batch.sequence ? limit : null;
    const { quantizers, sites, precision } = this.options;
    const codes = { weightCodes: this.weightCodes, activationCodes: this.#activationCodes };
    return {
      shape: { ...batch, config, window, quantizers, rotations: sites, ...codes, precision },
      types: typesOf(weights, this.#cache.runtime),
      tensors: { ...weights, ...this.#positions(batch) },
    };
  }
}

type LayerPart = 'forward' | 'backward';

function outputLoss(
  cache: ProgramCache,
  { lmHead }: Checkpoint,
  memory: NetworkMemory,
  precision?: Precision,
): OutputLoss {
  // A bfloat16 head that is multiplied as it is stored takes no memory of its own.
  const isConverted = !(lmHead.dtype === 'bfloat16' && cache.runtime.multipliesBfloat16);
  const bytes = isConverted ? elementCount(lmHead.dims) * Float32Array.BYTES_PER_ELEMENT : 0;
  const Loss = bytes <= memory.headBytes ? ChunkedLoss : SlicedLoss;
  return new Loss(cache, lmHead, memory.logitElements, precision);
}

/** Adds terms into a float64 sum. */
export function accumulate(sum: Float64Array, terms: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] += terms[i];
}

function idTensor(ids: Int32Array): HostTensor<BigInt64Array> {
  return int64([ids.length], BigInt64Array.from(ids, BigInt));
}
