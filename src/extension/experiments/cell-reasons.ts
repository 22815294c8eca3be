/** Why cells of tables stay empty, as the worker reads it off their models. Knows nothing of the editor. */
import { messageOf } from '../../protocol/errors.ts';
import type { CellReasons, CheckParams } from '../../protocol/worker.ts';

/** After a failure, such as in a folder that is not trusted, the worker is asked again so much later. */
const RETRY_MS = 30_000;

/** What reasons are asked of. */
interface Asked extends CheckParams {
  /** Changes with the model. */
  readonly modelTime: number;
}

interface Known {
  readonly text: string;
  readonly modelTime: number;
  readonly reasons: CellReasons;
  /** Resolves with the answer. */
  readonly asked: Promise<void>;
  /** Milliseconds; null where the worker has answered, or is about to. */
  readonly failedAt: number | null;
}

const NONE: CellReasons = {};

export class WorkerCellReasons {
  readonly #ask: (params: CheckParams) => Promise<CellReasons>;
  readonly #log: { warn(message: string): void };
  readonly #known = new Map<string, Known>();
  readonly #listeners = new Set<() => void>();

  constructor(ask: (params: CheckParams) => Promise<CellReasons>, log: { warn(message: string): void }) {
    this.#ask = ask;
    this.#log = log;
  }

  /** Called when reasons became known that {@link of} did not have before. */
  onDidChange(listener: () => void): { dispose(): void } {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  }

  /** What is known by now; a table is not kept waiting for the worker. Until it answers, those of before stand. */
  of(asked: Asked): CellReasons {
    const { file, text, modelTime } = asked;
    const known = this.#known.get(file);
    const isSame = known?.text === text && known.modelTime === modelTime;
    const mayRetry = known?.failedAt != null && Date.now() - known.failedAt > RETRY_MS;
    if (isSame && !mayRetry) return known.reasons;
    const reasons = known?.reasons ?? NONE;
    this.#known.set(file, { text, modelTime, reasons, failedAt: null, asked: this.#update(asked) });
    return reasons;
  }

  /** Resolves when what was asked last of a file has been answered. */
  async told(file: string): Promise<void> {
    await this.#known.get(file)?.asked;
  }

  async #update({ file, text, modelTime }: Asked): Promise<void> {
    let reasons = NONE;
    let failedAt: number | null = null;
    try {
      reasons = await this.#ask({ file, text });
    } catch (error) {
      failedAt = Date.now();
      this.#log.warn(`${file} was not compared with its model: ${messageOf(error)}`);
    }
    const known = this.#known.get(file);
    // Another text was asked about meanwhile.
    if (known?.text !== text || known.modelTime !== modelTime) return;
    this.#known.set(file, { ...known, reasons, failedAt });
    if (JSON.stringify(known.reasons) === JSON.stringify(reasons)) return;
    for (const listener of this.#listeners) listener();
  }
}
