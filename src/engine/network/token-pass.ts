import { float32, type HostTensor, int64 } from '../../protocol/tensor.ts';
import type { BoundProgram, Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { GrownRows, LayerCache } from './layer-cache.ts';
import type { LayerTypes } from './layer-inputs.ts';
import { POSITION_NAMES } from './layer-programs.ts';
import type { LayerShape } from './layer-shape.ts';
import type { EndsContext } from './network-ends.ts';
import type { PositionTables } from './position-tables.ts';
import { inLayer, TOKEN, type TokenOutputs, type TokenSpec } from './token-program.ts';

/** A layer of a pass. */
export interface TokenLayer {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  /** All that its program reads beside activations, tables and cache. */
  readonly tensors: Tensors;
  readonly cache: LayerCache;
}

export interface TokenNetwork extends Pick<TokenSpec, 'mode'> {
  readonly ends: EndsContext;
  readonly layers: readonly TokenLayer[];
  /** For all tokens that the caches have room for. */
  readonly tables: PositionTables;
}

/**
 * A network that reads the next token of each sequence in one run. Weights, caches and what the run fills are bound once,
 * so that a token costs no more JavaScript than writing its id, its place and its rotary row.
 */
export class TokenPass {
  readonly #ids: HostTensor<BigInt64Array>;
  readonly #length: HostTensor<BigInt64Array>;
  readonly #row: PositionTables;
  readonly #tables: PositionTables;
  readonly #caches: readonly LayerCache[];
  readonly #bound: BoundProgram<TokenOutputs>;
  readonly #grown: readonly GrownRows[];

  static async open(programs: ProgramCache, network: TokenNetwork): Promise<TokenPass> {
    const { ends, mode } = network;
    const layers = network.layers.map(({ shape, types }) => ({ shape, types }));
    const program = await programs.get(TOKEN, { ends: ends.shape, layers, mode });
    return new TokenPass(network, (tensors) => program.bind(tensors));
  }

  private constructor(
    { ends, layers, tables }: TokenNetwork,
    bind: (tensors: Tensors) => BoundProgram<TokenOutputs>,
  ) {
    const { config, tokens } = ends.shape;
    const half = config.headDim / 2;
    this.#ids = int64([tokens], new BigInt64Array(tokens));
    this.#length = int64([1], new BigInt64Array(1));
    this.#row = {
      cos: float32([1, half], new Float32Array(half)),
      sin: float32([1, half], new Float32Array(half)),
    };
    this.#tables = tables;
    this.#caches = layers.map(({ cache }) => cache);
    const ofLayers = layers.flatMap(({ tensors, cache }, index) =>
      Object.entries({ ...tensors, ...cache.inputs }).map(([name, tensor]) => [inLayer(index, name), tensor]),
    );
    this.#bound = bind({
      ...Object.fromEntries(ofLayers),
      ...{ ...ends.tensors, ids: this.#ids },
      ...{ ...this.#row, length: this.#length },
      // Read by keys with an offset alone.
      ...{ [POSITION_NAMES.cos]: tables.cos, [POSITION_NAMES.sin]: tables.sin },
    });
    const { outputs } = this.#bound;
    this.#grown = layers.map((_, index) => {
      const prefix = inLayer(index, '');
      const own = Object.entries(outputs).filter(([name]) => name.startsWith(prefix));
      return Object.fromEntries(own.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
    });
  }

  /** ln Σ exp of the first sequence's logits, those of the last token. */
  get partition(): number {
    const { logits, loss } = this.#bound.outputs;
    return loss.data[0]! + logits.data[0]!;
  }

  /** Reads the ids [B] and puts them into the caches. @returns logits [B, V], valid until the next token. */
  async next(ids: Int32Array, signal?: AbortSignal): Promise<Reals> {
    const length = this.#caches[0]?.length ?? 0;
    ids.forEach((id, place) => {
      this.#ids.data[place] = BigInt(id);
    });
    this.#length.data[0] = BigInt(length);
    for (const name of ['cos', 'sin'] as const) {
      const { data } = this.#row[name];
      const from = length * data.length;
      data.set(this.#tables[name].data.subarray(from, from + data.length));
    }
    await this.#bound.run(signal);
    for (const [index, cache] of this.#caches.entries()) cache.append(this.#grown[index]!, 1);
    return this.#bound.outputs.logits;
  }
}
