import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RUN_FILES } from '../../runs/index.ts';
import { makeScratchFolder, type ScratchFolder } from './scratch-folder.ts';

type RunFile = keyof typeof RUN_FILES;

/** Places for the results of steps, and places where kept ones are looked for. */
export class Places {
  readonly #own: string | null;
  readonly #others: readonly string[];
  readonly #scratchParent: string;
  #scratch: ScratchFolder | null = null;

  /**
   * @param own the run folder that results are kept in; null keeps none.
   * @param others runs whose results may serve, by their folder or a file in it.
   * @param scratchParent where a folder can be made for what is needed and not kept.
   */
  constructor(own: string | null, others: readonly string[], scratchParent: string) {
    this.#own = own;
    this.#scratchParent = scratchParent;
    this.#others = others.map((path) => (statSync(path).isDirectory() ? path : dirname(path)));
  }

  /** Path in the run folder; null where nothing is kept. */
  own(file: RunFile): string | null {
    return this.#own === null ? null : join(this.#own, RUN_FILES[file]);
  }

  /** Paths in runs of before. */
  others(file: RunFile): readonly string[] {
    return this.#others.map((folder) => join(folder, RUN_FILES[file]));
  }

  /** Path in the run folder, or else in a folder that is removed at the end. */
  async make(file: RunFile): Promise<string> {
    const own = this.own(file);
    if (own !== null) return own;
    this.#scratch ??= await makeScratchFolder(this.#scratchParent);
    return join(this.#scratch.path, RUN_FILES[file]);
  }

  /** Removes what was not to be kept. */
  async close(): Promise<void> {
    await this.#scratch?.remove();
  }
}
