import { SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { partialOf } from '../../protocol/records.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { hasByteCodes } from '../graph/fused/row-codes.ts';
import type { Program, Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { KeptPanels, PANEL_PARTS, type PanelStore } from './kept-panels.ts';
import type { LayerCache } from './layer-cache.ts';
import { type LayerTypes, layerTensors, typesOf } from './layer-inputs.ts';
import {
  BACKWARD,
  type BackwardOutputs,
  DECODE,
  type DecodeOutputs,
  FORWARD,
  gradientName,
  type LayerSpec,
  POSITION_NAMES,
  readsPositions,
} from './layer-programs.ts';
import type { BatchShape, LayerQuantizers, LayerShape, RowSharing, WeightForm } from './layer-shape.ts';
import { outputLoss } from './loss-choice.ts';
import { type MapTensors, mapsOfLayer, mapTensors } from './map-tensors.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from './memory-plan.ts';
import { type HeadBits, NetworkEnds } from './network-ends.ts';
import type { NetworkOptions } from './network-options.ts';
import { distinctQuantizers, quantizersAt } from './network-quantizers.ts';
import type { OutputLoss } from './output-loss.ts';
import { layerPanelTypes, type Products, productsOf, readBy } from './packed-weights.ts';
import { Positions, slicedTables } from './position-tables.ts';
import { PreparedWeights, type WeightMaps } from './prepared-weights.ts';
import { RoundedWeights } from './rounded-weights.ts';
import type { SeamState } from './seams.ts';
import { Tape, type TapeLevel } from './tape.ts';
import { type TokenLayer, TokenPass } from './token-pass.ts';
import { preparedWeightBytes, storesFloat32, weightBytes } from './weight-bytes.ts';
import { isDense, weightFormOf } from './weight-form.ts';

/** Derivatives of the loss by the maps that are given, a layer's share or the ends'. */
export type SeamGradients = Readonly<Partial<Record<SeamName, Float32Array>>>;

const NOTHING_GIVEN: WeightMaps = { now: {}, searchedAt: {} };

export type Activations = Reals;

/**
 * A network as a sequence of compiled programs over mmap'd weights, one layer at a time. Holds no activations;
 * prepared weights are kept until {@link setRotations}.
 */
export class Network {
  readonly checkpoint: Checkpoint;
  readonly options: NetworkOptions;
  /** Processes that share a text between them. */
  readonly ranks: Ranks;
  readonly #cache: ProgramCache;
  readonly memory: NetworkMemory;
  readonly weightForm: WeightForm;
  readonly #loss: OutputLoss;
  /** Embedding and output layer. */
  readonly ends: NetworkEnds;
  readonly #positions: Positions;
  /** Programs by layer, batch and level: the whole spec is long, and layers of one shape share a program in the cache. */
  readonly #forward = new Map<string, Promise<Program<{ y: Reals }>>>();
  readonly #backward = new Map<string, Promise<Program<BackwardOutputs>>>();
  readonly #decode = new Map<string, Promise<Program<DecodeOutputs>>>();
  readonly #prepared: PreparedWeights;
  readonly #rounded: RoundedWeights | null;
  #given: WeightMaps = NOTHING_GIVEN;
  #searchedAt: { readonly state: SeamState; readonly tensors: MapTensors } | null = null;
  #tape: Tape | null = null;
  #panels: KeptPanels | null = null;

  constructor(cache: ProgramCache, checkpoint: Checkpoint, options: NetworkOptions) {
    this.#cache = cache;
    this.ranks = cache.ranks;
    this.memory = options.memory ?? DEFAULT_MEMORY;
    this.checkpoint = checkpoint;
    const { mode, maps, centreEmbedding, precision } = options;
    // In the unrotated mode the residual's map acts at the quantizers only.
    const mapped = mode === 'merged' && maps.residual !== undefined;
    this.#loss = outputLoss(cache, checkpoint, this.memory, precision);
    this.ends = new NetworkEnds(cache, checkpoint, { mapped, centreEmbedding, precision });
    this.#positions = new Positions(checkpoint.config);
    this.options = options;
    this.weightForm = weightFormOf(options, cache.abilities);
    this.#prepared = new PreparedWeights(cache, this.keepsPrepared, options.weightPrecision);
    this.#rounded = options.rounded ? new RoundedWeights(cache, options.rounded, this.keepsPrepared) : null;
  }

  get layers(): number {
    return this.checkpoint.config.layers;
  }

  /** The quantizers of a layer. */
  quantizers(layer: number): LayerQuantizers {
    return quantizersAt(this.options, layer);
  }

  /**
   * Sets the numbers of the maps; weights are prepared again when they are needed next.
   * @param searchedAt maps that the weights' clip ratios are searched on, the same object as long as they serve.
   */
  setMaps(state: SeamState, searchedAt = state): void {
    const known = this.#searchedAt;
    const now = this.#mapTensors(state);
    const tensors =
      searchedAt === state ? now : known?.state === searchedAt ? known.tensors : this.#mapTensors(searchedAt);
    this.#searchedAt = { state: searchedAt, tensors };
    this.#given = { now, searchedAt: tensors };
    this.ends.setResidual(now.residual?.[0]);
    this.#setPanels(null);
  }

  /** Keeps packed weights beyond the process, for the maps as they stand. @param store made for these maps. */
  keepPanels(store: PanelStore): void {
    this.#setPanels(new KeptPanels(store));
  }

  #setPanels(panels: KeptPanels | null): void {
    this.#panels = panels;
    this.ends.keepIn(panels);
  }

  #mapTensors(state: SeamState): MapTensors {
    return mapTensors(this.options.maps, state, this.checkpoint.config);
  }

  /** True where the prepared weights of all layers stay in memory; else those of one layer at a time. */
  get keepsPrepared(): boolean {
    if (this.options.mode !== 'merged') return true;
    return preparedWeightBytes(this.checkpoint, this.#weights) <= this.memory.preparedBytes;
  }

  /** Bytes of all weights, in the forms in which they are read. */
  get weightBytes(): number {
    const stored = weightBytes(this.checkpoint, this.options.mode === 'merged' ? this.#weights : null);
    return stored + this.ends.addedBytes;
  }

  get #weights() {
    return { config: this.checkpoint.config, ...this.options, weightForm: this.weightForm };
  }

  /** Token ids, B·S of them → residual [B·S, d]. */
  embed(ids: Int32Array, signal?: AbortSignal): Promise<Activations> {
    return this.ends.embed(ids, signal);
  }

  /** @param dx ∂loss/∂x of the first layer. @returns derivatives through the embedding. */
  async embedBackward(ids: Int32Array, dx: Activations, signal?: AbortSignal): Promise<SeamGradients> {
    const gradient = await this.ends.embedBackward(ids, dx, signal);
    return gradient ? { residual: gradient.data } : {};
  }

  /**
   * y = layer(x), x and y [B·S, d], or [rows, d] where tokens share rows.
   * @param sharing goes with `shape.rows`.
   * @param y memory for the result, not x's; new where there is none.
   */
  async layer(
    index: number,
    x: Activations,
    shape: BatchShape,
    signal?: AbortSignal,
    { sharing, y }: { readonly sharing?: RowSharing; readonly y?: Activations } = {},
  ): Promise<Activations> {
    const tensors = await this.layerInputs(index, shape, signal);
    const program = await this.#forwardProgram(index, shape, 'nothing');
    return (await program.run({ ...tensors, ...sharing, x }, signal, y && { y })).y;
  }

  /**
   * Layer `index` for the next tokens of each sequence, x and y [B·n, d], whose keys and values are put into its cache.
   * @param n tokens of each sequence, for which the cache must have room.
   */
  async extend(
    index: number,
    x: Activations,
    { n, cache }: { readonly n: number; readonly cache: LayerCache },
    signal?: AbortSignal,
  ): Promise<Activations> {
    const { batch, capacity, length } = cache;
    const shape = { batch, sequence: n, capacity };
    const all = this.#positions.of(capacity);
    const positions = readsPositions(this.quantizers(index))
      ? { [POSITION_NAMES.cos]: all.cos, [POSITION_NAMES.sin]: all.sin }
      : {};
    const tables = { ...slicedTables(all, length, n), ...positions };
    const tensors = await this.layerInputs(index, shape, signal);
    const program = await remembered(this.#decode, shortKey(index, shape, capacity), () => {
      const { shape: layer, types } = this.layerContext(index, shape);
      return this.#cache.get(DECODE, { shape: layer, types, mode: this.options.mode });
    });
    const { y, ...grown } = await program.run({ ...tensors, ...tables, ...cache.inputs, x }, signal);
    cache.append(grown, n);
    return y;
  }

  /**
   * All layers and both ends in one run, for one token after the other of the sequences of these caches. Maps must stay.
   * @returns null where weights do not stay in memory as products take them.
   */
  async tokenPass(caches: readonly LayerCache[], signal?: AbortSignal): Promise<TokenPass | null> {
    const [first] = caches;
    // In one program for all layers, nothing bounds how many weights are converted at once.
    const isRead = this.options.mode === 'merged' || storesFloat32(this.checkpoint);
    if (!first || !isRead || !this.keepsPrepared || !this.#cache.abilities.ownKernels) return null;
    const shape = { batch: first.batch, sequence: 1, capacity: first.capacity };
    const layers: TokenLayer[] = [];
    for (const [index, cache] of caches.entries()) {
      const { shape: layer, types } = this.layerContext(index, shape);
      layers.push({ shape: layer, types, tensors: await this.layerInputs(index, shape, signal), cache });
    }
    const ends = await this.ends.context(first.batch, signal);
    const tables = this.#positions.of(first.capacity);
    return TokenPass.open(this.#cache, { ends, layers, tables, mode: this.options.mode });
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
    const tensors = await this.layerInputs(index, tape.shape, signal);
    const program = await this.#forwardProgram(index, tape.shape, tape.level(index));
    const into = { y: tape.residual(index + 1), ...tape.kept(index) };
    await program.run({ ...tensors, x: tape.residual(index) }, signal, into);
  }

  /**
   * ∂loss/∂x of layer `index` from ∂loss/∂y, with the layer's share of the derivatives of the maps. What the tape did
   * not keep is computed again. dx is valid until the layer after next.
   */
  async layerBackward(
    index: number,
    tape: Tape,
    dy: Activations,
    signal?: AbortSignal,
  ): Promise<{ dx: Activations; maps: SeamGradients }> {
    const tensors = await this.layerInputs(index, tape.shape, signal);
    const program = await this.#backwardProgram(index, tape.shape, tape.level(index));
    const inputs = { ...tensors, ...tape.kept(index), x: tape.residual(index), dy };
    const { dx, ...derivatives } = await program.run(inputs, signal, { dx: tape.gradient(index) });
    const maps = partialOf(SEAM_NAMES, (seam) => derivatives[gradientName(seam)]?.data);
    return { dx, maps };
  }

  /** Logits [T, V] of a residual [T, d]; T·V must fit memory. */
  logits(x: Activations, signal?: AbortSignal): Promise<Activations> {
    return this.ends.logits(x, signal);
  }

  /** Sets the bits of the output layer that {@link logits} multiplies by; losses take it as it is stored. */
  setHeadBits(bits: HeadBits): void {
    this.ends.setHeadBits(bits);
  }

  get headBits(): HeadBits {
    return this.ends.headBits;
  }

  /** Rows of the output layer [count, d] as they multiply the normed residual, with gain and map in them. */
  headRows(first: number, count: number, signal?: AbortSignal): Promise<Activations> {
    return this.ends.headRows(first, count, signal);
  }

  /** Negative log-likelihood [T] in nats, float32 logits, in bounded memory. */
  async loss(x: Activations, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    return this.#loss.forward(await this.ends.hidden(x, signal), labels, signal);
  }

  /**
   * Loss and its derivative for Σ_t weight·nll_t.
   * @returns nll [T], ∂loss/∂x [T, d] and derivatives of maps through the head.
   */
  async lossBackward(
    x: Activations,
    labels: Int32Array,
    weight: number,
    signal?: AbortSignal,
  ): Promise<{ nll: Float32Array; dx: Activations; maps: SeamGradients }> {
    const hidden = await this.ends.hidden(x, signal);
    const { nll, dhidden } = await this.#loss.backward(hidden, labels, weight, signal);
    const { dx, mapGradient } = await this.ends.hiddenBackward(x, dhidden, signal);
    return { nll, dx, maps: mapGradient ? { residual: mapGradient.data } : {} };
  }

  /** All that a layer's programs read beside activations, its weights prepared. */
  async layerInputs(index: number, shape: BatchShape, signal?: AbortSignal): Promise<Tensors> {
    const own = { ...this.layerContext(index, shape).tensors, ...this.maps(index) };
    if (this.options.mode !== 'merged') return own;
    return { ...own, ...(await this.weights(index, shape, signal)) };
  }

  /** Prepared weights of a layer of a merged network; those that are kept where all its products read packed ones. */
  weights(index: number, batch: BatchShape, signal?: AbortSignal): Promise<Tensors> {
    const context = this.layerContext(index, batch);
    const { shape } = context;
    const make = (): Promise<Tensors> =>
      this.#rounded?.of(index, shape, signal) ?? this.#prepared.of(index, context, this.#given, signal);
    const types = this.#panels && layerPanelTypes(this.checkpoint.layer(index), shape);
    if (!this.#panels || !types) return make();
    return this.#panels.of(PANEL_PARTS.layer(index), types, make, () => {
      this.#rounded?.forget();
      this.#prepared.forget();
    });
  }

  /** The maps that a layer takes, by program input name. */
  maps(index: number): Tensors {
    return mapsOfLayer(this.#given.now, index);
  }

  /** Which products of the layers are of whole numbers; null where none were asked for. */
  get products(): Products | null {
    const { mode, integer } = this.options;
    if (integer !== 'always' || mode !== 'merged') return null;
    return productsOf(this.options, this.checkpoint.config, isDense(this.options));
  }

  /** Rounded activations, too, where codes of a byte have a kernel: they are kept instead of mapped again. */
  get #activationCodes(): boolean {
    const { mode, maps } = this.options;
    const { hiddenSize } = this.checkpoint.config;
    const rounds = distinctQuantizers(this.options)
      .flatMap((quantizers) => [readBy('q', quantizers), readBy('gate', quantizers)])
      .every((input) => !input.scaleGradient && hasByteCodes(input, hiddenSize));
    return mode === 'unrotated' && maps.residual !== undefined && rounds && this.#cache.abilities.ownKernels;
  }

  #forwardProgram(index: number, batch: BatchShape, level: TapeLevel): Promise<Program<{ y: Reals }>> {
    return remembered(this.#forward, shortKey(index, batch, level), () =>
      this.#cache.get(FORWARD, this.#layerSpec(index, batch, level)),
    );
  }

  #backwardProgram(index: number, batch: BatchShape, level: TapeLevel): Promise<Program<BackwardOutputs>> {
    return remembered(this.#backward, shortKey(index, batch, level), () =>
      this.#cache.get(BACKWARD, { ...this.#layerSpec(index, batch, level), moving: this.options.moving }),
    );
  }

  #layerSpec(index: number, batch: BatchShape, level: TapeLevel): LayerSpec {
    const { shape, types } = this.layerContext(index, batch);
    return { shape, types, mode: this.options.mode, level };
  }

  /** The shape that a graph of layer `index` is built from, and the tensors that it reads. */
  layerContext(index: number, batch: BatchShape): { shape: LayerShape; types: LayerTypes; tensors: Tensors } {
    const { config } = this.checkpoint;
    const weights = layerTensors(this.checkpoint.layer(index));
    const limit = config.layerWindows[index] ?? null;
    const window = limit !== null && limit < (batch.capacity ?? batch.sequence) ? limit : null;
    const { maps, precision } = this.options;
    const codes = { weightForm: this.weightForm, activationCodes: this.#activationCodes };
    return {
      shape: { ...batch, config, window, quantizers: this.quantizers(index), maps, ...codes, precision },
      types: typesOf(weights, this.#cache.runtime),
      tensors: { ...weights, ...this.#positions.of(batch.sequence) },
    };
  }
}

const shortKey = (index: number, { batch, sequence, rows }: BatchShape, more: TapeLevel | number): string =>
  `${index} ${batch}x${sequence} ${rows} ${more}`;

function remembered<T>(known: Map<string, T>, key: string, create: () => T): T {
  const found = known.get(key) ?? create();
  known.set(key, found);
  return found;
}
