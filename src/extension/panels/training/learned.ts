import { readFile } from 'node:fs/promises';
import type { Run } from '../../../runs/index.ts';

/** As it stands in the log of events; inside a text its quotes would be escaped. */
const STEP = '"type":"step"';

/** Which runs have learning steps, by their logs: evaluations leave runs without a curve. */
export class LearnedRuns {
  readonly #known = new Map<string, boolean>();

  /** The first `most` of these runs that have steps. */
  async among(runs: readonly Run[], most: number): Promise<Run[]> {
    const found: Run[] = [];
    for (const run of runs) {
      if (found.length === most) break;
      if (await this.#has(run)) found.push(run);
    }
    return found;
  }

  /** The files of a run changed. */
  forget(dir: string): void {
    this.#known.delete(dir);
  }

  async #has(run: Run): Promise<boolean> {
    const known = this.#known.get(run.dir);
    if (known !== undefined) return known;
    const has = await logsStep(run);
    // A run at work may get its first step at any time.
    if (has || run.record.status !== 'running') this.#known.set(run.dir, has);
    return has;
  }
}

async function logsStep(run: Run): Promise<boolean> {
  try {
    return (await readFile(run.path('events'), 'utf8')).includes(STEP);
  } catch {
    // Without its log, or deleted meanwhile: nothing to draw.
    return false;
  }
}
