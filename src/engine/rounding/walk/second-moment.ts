import type { Linear } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { MOMENT, SUM } from './moment-programs.ts';

/** Σ x xᵀ [n, n] over the rows that a linear layer reads. */
export class SecondMoment {
  readonly #cache: ProgramCache;
  readonly sum: Reals;
  /** Memory of the same size, free while nothing is added: for the widest layers there is no room for a third. */
  readonly spare: Reals;

  constructor(cache: ProgramCache, n: number) {
    this.#cache = cache;
    this.sum = float32([n, n], new Float32Array(n * n));
    this.spare = float32([n, n], new Float32Array(n * n));
  }

  async add(rows: Reals, signal?: AbortSignal): Promise<void> {
    const [tokens, n] = rows.dims as [number, number];
    const program = await this.#cache.get(MOMENT, { tokens, n });
    await program.run({ rows }, signal, { moment: this.spare });
    const adding = await this.#cache.get(SUM, { n });
    await adding.run({ sum: this.sum, addend: this.spare }, signal, { next: this.sum });
  }

  /** @throws UserError where the text makes the network overflow. @param linears that read the rows. */
  requireFinite(layer: number, linears: readonly Linear[]): void {
    const [n = 0] = this.sum.dims;
    for (let i = 0; i < n; i++) {
      if (!Number.isFinite(this.sum.data[i * n + i])) {
        throw new UserError(
          'rounding/not-finite',
          `What ${linears.join(', ')} of layer ${layer} read is not finite on the calibration text.`,
          'The network overflows there: check the checkpoint, or use another calibration text.',
        );
      }
    }
  }
}
