import type { SecondMoment } from '../../calibration/second-moment.ts';
import type { StageName } from '../../calibration/stages.ts';
import { CalibrationStream, type SeeRows } from '../../calibration/stream.ts';
import type { Reals, Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';

/** Weights are the same for all texts. */
const ONE_TOKEN = { batch: 1, sequence: 1 };

interface Streamed {
  readonly network: Network;
  readonly stream: CalibrationStream;
}

/**
 * The calibration text on its way through the network that is being rounded and, where a method looks at how far that
 * drifts, through the same network at full precision beside it.
 */
export class PairedStream {
  readonly #own: CalibrationStream;
  readonly #exact: Streamed | null;

  private constructor(own: CalibrationStream, exact: Streamed | null) {
    this.#own = own;
    this.#exact = exact;
  }

  /** @param exact null for a single stream. @param folder for scratch files. */
  static async open(
    cache: ProgramCache,
    { network, exact, blocks }: { network: Network; exact: Network | null; blocks: readonly Int32Array[] },
    folder: string,
  ): Promise<PairedStream> {
    const own = await CalibrationStream.open(cache, network, blocks, folder);
    if (!exact) return new PairedStream(own, null);
    if (exact.memory.tokensAtOnce !== network.memory.tokensAtOnce)
      throw new Error('both networks must read the same parts');
    const stream = await CalibrationStream.open(cache, exact, blocks, folder, 'exact-');
    return new PairedStream(own, { network: exact, stream });
  }

  async embed(signal?: AbortSignal): Promise<void> {
    await this.#own.embed(signal);
    await this.#exact?.stream.embed(signal);
  }

  /**
   * Takes the text through a stage of a layer. See {@link CalibrationStream.pass}.
   * @param moment sees what the linear layers of the stage read, and its drift the same at full precision.
   */
  async *pass(
    stage: StageName,
    layer: number,
    weights: Tensors,
    moment: SecondMoment | null,
    signal?: AbortSignal,
  ): AsyncGenerator<number, void> {
    let beside: { readonly rows: Reals; readonly residual: Reals } | null = null;
    const see = async (rows: Reals, residual: Reals): Promise<void> => {
      await moment?.add(rows, signal);
      if (!beside) return;
      await moment?.drift?.add({ exact: beside.rows, own: rows, read: rows }, signal);
      await moment?.residualDrift?.add({ exact: beside.residual, own: residual, read: rows }, signal);
    };
    const own = this.#own.pass(stage, layer, weights, moment && see, signal);
    const exact = await this.#exactPass(
      stage,
      layer,
      async (rows, residual) => {
        beside = { rows, residual };
      },
      signal,
    );
    try {
      // The same part of the text passes through both, one after the other.
      for (;;) {
        await exact?.next();
        const { done, value } = await own.next();
        if (done) return;
        yield value;
      }
    } finally {
      await exact?.return();
      await own.return();
    }
  }

  async #exactPass(
    stage: StageName,
    layer: number,
    see: SeeRows,
    signal?: AbortSignal,
  ): Promise<AsyncGenerator<number, void> | null> {
    if (!this.#exact) return null;
    const { network, stream } = this.#exact;
    return stream.pass(stage, layer, await network.weights(layer, ONE_TOKEN, signal), see, signal);
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#own.close(), this.#exact?.stream.close()]);
  }
}
