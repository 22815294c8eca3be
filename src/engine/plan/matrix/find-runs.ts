import type { ResolvedCell } from '../../../config/index.ts';
import { listRuns, type Run } from '../../../runs/index.ts';

/** Runs of cells, newest first, by the key of their settings. */
export class CellRuns {
  readonly #byKey = new Map<string, Run[]>();

  /** @param folder of the runs. */
  static async in(folder: string): Promise<CellRuns> {
    const found = new CellRuns();
    for (const run of (await listRuns(folder)).runs) {
      const key = run.record.cell?.key;
      if (key === undefined) continue;
      const others = found.#byKey.get(key) ?? [];
      found.#byKey.set(key, [...others, run]);
    }
    return found;
  }

  of({ key }: ResolvedCell): readonly Run[] {
    return this.#byKey.get(key) ?? [];
  }

  /** The run that ended with these inputs; null where there is none. */
  finished(cell: ResolvedCell, inputs: string): Run | null {
    return this.#withInputs(cell, inputs).find(({ record }) => record.status === 'finished') ?? null;
  }

  /** The newest run of these inputs that did not end. */
  unfinished(cell: ResolvedCell, inputs: string): Run | null {
    return this.#withInputs(cell, inputs).find(({ record }) => record.status !== 'finished') ?? null;
  }

  #withInputs(cell: ResolvedCell, inputs: string): readonly Run[] {
    return this.of(cell).filter(({ record }) => record.cell?.inputs === inputs);
  }
}
