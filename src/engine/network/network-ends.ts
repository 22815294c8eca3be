import { fileRows } from '../../formats/tensor-io.ts';
import {
  BYTES_PER_ELEMENT,
  elementCount,
  type HostTensor,
  int64,
  type Tensor,
} from '../../protocol/tensor.ts';
import { MOST_STORED_ROWS } from '../graph/fused/stored-rows.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import * as programs from './ends-programs.ts';
import { HeadWeights } from './head-weights.ts';
import type { KeptPanels } from './kept-panels.ts';
import { wideTable } from './wide-table.ts';

/** Bits of the numbers of the output layer: as it is stored, or packed (`packed-head.ts`). */
export type HeadBits = 16 | 8;

export interface EndsContext {
  readonly shape: programs.EndsShape;
  readonly tensors: Tensors;
}

type EndsSettings = Pick<programs.EndsShape, 'mapped' | 'centreEmbedding' | 'precision'>;

/** The two ends of a network as programs over mmap'd weights. */
export class NetworkEnds {
  readonly #cache: ProgramCache;
  readonly #checkpoint: Checkpoint;
  readonly #settings: EndsSettings;
  readonly #packed: HeadWeights;
  #widened: Reals | null = null;
  #headBits: HeadBits = 16;
  #residual: Tensor | undefined;

  constructor(cache: ProgramCache, checkpoint: Checkpoint, settings: EndsSettings) {
    this.#cache = cache;
    this.#checkpoint = checkpoint;
    this.#settings = settings;
    this.#packed = new HeadWeights(cache, checkpoint.lmHead);
  }

  /** Sets the map of the residual, of which there is one where the ends are mapped. */
  setResidual(map: Tensor | undefined): void {
    this.#residual = map;
    this.#packed.forget();
  }

  /** @param panels where the packed output layer is kept; null for nowhere. */
  keepIn(panels: KeptPanels | null): void {
    this.#packed.keepIn(panels);
  }

  /** Sets what {@link logits} multiplies by; losses take the output layer as it is stored. */
  setHeadBits(bits: HeadBits): void {
    this.#headBits = bits;
  }

  get headBits(): HeadBits {
    return this.#headBits;
  }

  /** Bytes that an output layer of another form adds to those that are stored: it replaces one that nothing else reads. */
  get addedBytes(): number {
    const { tiedEmbeddings, lmHead } = this.#checkpoint;
    const replaced = tiedEmbeddings ? 0 : lmHead.byteLength;
    if (this.#headBits !== 16) return this.#packed.bytes - replaced;
    return this.#headForm === 'converted' ? this.#wideBytes - replaced : 0;
  }

  get #wideBytes(): number {
    return elementCount(this.#checkpoint.lmHead.dims) * BYTES_PER_ELEMENT.float32;
  }

  /**
   * How products with the output layer take it for few tokens. One that would be converted for every product is converted
   * once: for one token that takes longer than the product, and as much memory.
   */
  get #headForm(): 'in products' | 'as stored' | 'converted' {
    const { abilities, runtime } = this.#cache;
    const type = runtime.inputType(this.#checkpoint.lmHead.dtype);
    if (type === 'float32' || (type === 'bfloat16' && abilities.bfloat16Products)) return 'in products';
    return type === 'bfloat16' && abilities.ownKernels ? 'as stored' : 'converted';
  }

  /** @param ids token ids, B·S of them. @returns residual [B·S, d]. */
  async embed(ids: Int32Array, signal?: AbortSignal): Promise<Reals> {
    const program = await this.#cache.get(programs.EMBEDDING, this.#shape(ids.length));
    return (await program.run(this.#tensors({ ids: idTensor(ids) }), signal)).x;
  }

  /** @param dx ∂loss/∂x of the first layer. @returns the derivative of the residual's map, where there is one. */
  async embedBackward(ids: Int32Array, dx: Reals, signal?: AbortSignal): Promise<Reals | null> {
    if (!this.#settings.mapped) return null;
    const program = await this.#cache.get(programs.EMBEDDING_BACKWARD, this.#shape(ids.length));
    return (await program.run(this.#tensors({ ids: idTensor(ids), dx }), signal)).mapGradient;
  }

  /** What the output layer reads [T, d] of a residual [T, d]. */
  async hidden(x: Reals, signal?: AbortSignal): Promise<Reals> {
    const program = await this.#cache.get(programs.HIDDEN, this.#shape(rowsOf(x)));
    return (await program.run(this.#tensors({ x }), signal)).hidden;
  }

  /** ∂loss/∂x, and the derivative of the residual's map where there is one. */
  async hiddenBackward(x: Reals, dhidden: Reals, signal?: AbortSignal) {
    const program = await this.#cache.get(programs.HIDDEN_BACKWARD, this.#shape(rowsOf(x)));
    return program.run(this.#tensors({ x, dhidden }), signal);
  }

  /** Logits [T, V] of a residual [T, d]; T·V must fit memory. */
  async logits(x: Reals, signal?: AbortSignal): Promise<Reals> {
    const { shape, tensors } = await this.context(rowsOf(x), signal);
    const program = await this.#cache.get(programs.LOGITS, shape);
    return (await program.run({ ...tensors, x }, signal)).logits;
  }

  /** Rows of the output layer [count, d] as they multiply the normed residual, with gain and map in them. */
  async headRows(first: number, count: number, signal?: AbortSignal): Promise<Reals> {
    const program = await this.#cache.get(programs.HEAD_ROWS, this.#shape(count));
    const rows = fileRows(this.#checkpoint.lmHead, first, count);
    return (await program.run(this.#tensors({ rows }), signal)).head;
  }

  /** The shape that graphs of both ends are built from, and the tensors that they read beside ids and residual. */
  async context(tokens: number, signal?: AbortSignal): Promise<EndsContext> {
    const shape = this.#shape(tokens);
    if (this.#headBits === 16) return this.#unpacked(shape);
    const packed = await this.#packed.tensors(shape, this.#tensors({}), signal);
    return { shape: { ...shape, packedHead: true }, tensors: this.#tensors(packed) };
  }

  #unpacked(shape: programs.EndsShape): EndsContext {
    const { lmHead } = this.#checkpoint;
    const form = this.#headForm;
    if (form === 'in products') return { shape, tensors: this.#tensors({}) };
    if (form === 'as stored' && shape.tokens <= MOST_STORED_ROWS)
      return { shape: { ...shape, storedHead: true }, tensors: this.#tensors({}) };
    this.#widened ??= wideTable(lmHead);
    return { shape: { ...shape, headType: 'float32' }, tensors: this.#tensors({ lmHead: this.#widened }) };
  }

  #shape(tokens: number): programs.EndsShape {
    const { config, embedding, lmHead, finalNorm } = this.#checkpoint;
    const { runtime } = this.#cache;
    return {
      config,
      tokens,
      ...this.#settings,
      embeddingType: runtime.inputType(embedding.dtype),
      headType: runtime.inputType(lmHead.dtype),
      normType: runtime.inputType(finalNorm.dtype),
    };
  }

  #tensors(tensors: Tensors): Tensors {
    const { embedding, lmHead, finalNorm } = this.#checkpoint;
    return {
      ...{ embedding, lmHead, finalNorm },
      ...(this.#residual && { residual: this.#residual }),
      ...tensors,
    };
  }
}

const rowsOf = ({ dims }: Reals): number => dims[0] ?? 0;

function idTensor(ids: Int32Array): HostTensor<BigInt64Array> {
  return int64([ids.length], BigInt64Array.from(ids, BigInt));
}
