import type { FileTensor } from '../../protocol/tensor.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { HIDDEN } from '../network/ends-programs.ts';
import type { BatchShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';

/** The full-precision network, whose logits a student is trained to give. */
export class Teacher {
  readonly #cache: ProgramCache;
  readonly #network: Network;

  /** @param network the checkpoint's own. */
  constructor(cache: ProgramCache, network: Network) {
    this.#cache = cache;
    this.#network = network;
  }

  /** The output layer [V, d], in its file. */
  get head(): FileTensor {
    return this.#network.checkpoint.lmHead;
  }

  /** What the output layer reads [T, d]. */
  async hidden(ids: Int32Array, shape: BatchShape, signal?: AbortSignal): Promise<Reals> {
    let x = await this.#network.embed(ids, signal);
    for (let layer = 0; layer < this.#network.layers; layer++)
      x = await this.#network.layer(layer, x, shape, signal);
    const { config, embedding, lmHead, finalNorm } = this.#network.checkpoint;
    const { runtime } = this.#cache;
    const program = await this.#cache.get(HIDDEN, {
      config,
      tokens: ids.length,
      mapped: false,
      centreEmbedding: false,
      embeddingType: runtime.inputType(embedding.dtype),
      headType: runtime.inputType(lmHead.dtype),
      normType: runtime.inputType(finalNorm.dtype),
    });
    return (await program.run({ x, finalNorm }, signal)).hidden;
  }
}
