import type { EndLoss, TokenLoss } from '../calibration/gradient-step.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { BatchShape } from '../network/layer-shape.ts';
import type { Activations, Network } from '../network/network.ts';
import { hiddenDivergence } from './divergence.ts';
import { Teacher } from './teacher.ts';

/** Tokens of the vocabulary that KL-Top counts (OSTQuant). */
export const TOP_TOKENS = 1000;

/** KL-Top of each token: how far a network is from the full-precision one on its {@link TOP_TOKENS} likeliest tokens. */
export class TopDivergence implements TokenLoss {
  readonly #cache: ProgramCache;
  readonly #teacher: Teacher;

  /** @param network the checkpoint's own. */
  constructor(cache: ProgramCache, network: Network) {
    this.#cache = cache;
    this.#teacher = new Teacher(cache, network);
  }

  counted(length: number): number {
    return length;
  }

  async backward(
    network: Network,
    ids: Int32Array,
    shape: BatchShape,
    x: Activations,
    weight: number,
    signal?: AbortSignal,
  ): Promise<EndLoss> {
    const target = owned(await this.#teacher.hidden(ids, shape, signal));
    const hidden = await network.ends.hidden(x, signal);
    const inputs = { head: this.#teacher.head, target, hidden };
    const { logitElements } = network.memory;
    const { sum, dhidden } = await hiddenDivergence(this.#cache, inputs, logitElements, signal, TOP_TOKENS);
    for (const [index, value] of dhidden.data.entries()) dhidden.data[index] = weight * value;
    const { dx, mapGradient } = await network.ends.hiddenBackward(x, dhidden, signal);
    return { sum, dx, maps: mapGradient ? { residual: mapGradient.data } : {} };
  }
}

/** A copy of its own: the program of both networks fills the same memory. */
const owned = ({ dims, data }: Reals): Reals => ({
  kind: 'host',
  dtype: 'float32',
  dims,
  data: data.slice(),
});
