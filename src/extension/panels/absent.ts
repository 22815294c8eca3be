import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Notice, RunName } from '../../protocol/panels/common.ts';
import { fill } from '../../protocol/panels/fill.ts';
import type { absentTexts } from '../../protocol/panels/words.ts';
import { RUN_FILES, type Run } from '../../runs/index.ts';
import type { RunStore } from '../services.ts';

/** Says of the run that a panel is to show why it cannot; knows its name from when it could. */
export class AbsentRun {
  #last: RunName | null = null;

  /** The run that is shown now. */
  keep(name: RunName): void {
    this.#last = name;
  }

  /** Something else is asked for. */
  forget(): void {
    this.#last = null;
  }

  /** For a panel that follows the newest run: an older one, in the place of the one that was shown, would pass for it. */
  noticeBefore(next: Run | null, runs: RunStore, strings: ReturnType<typeof absentTexts>): Notice | null {
    const last = this.#last;
    if (last === null || (next !== null && next.record.startedAt > last.startedAt)) return null;
    return this.notice(last.dir, runs, strings);
  }

  /** @returns null where the run is there, and where none was chosen. */
  notice(dir: string | null, runs: RunStore, strings: ReturnType<typeof absentTexts>): Notice | null {
    if (dir === null || runs.get(dir) !== undefined) return null;
    const name = this.#last?.dir === dir ? this.#last.name : basename(dir);
    // A run that was just made, or a window that was just opened: runs are still being read.
    if (existsSync(join(dir, RUN_FILES.run))) return { kind: 'work', title: name, text: strings.reading };
    return { kind: 'problem', title: fill(strings.deleted, name), text: strings.deletedText };
  }
}
