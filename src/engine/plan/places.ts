import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { RUN_FILES } from '../../runs/index.ts';
import { nameOfKey } from './key-names.ts';
import { makeScratchFolder, type ScratchFolder } from './scratch-folder.ts';

type RunFile = keyof typeof RUN_FILES;

/** The run whose folder keeps the results: it knows whether the folder is still this process's. */
export interface Keeper {
  /** @throws UserError where it is not. */
  check(): void;
  /** Drops later steps of learning from the events: they are about to be done again. */
  dropStepsAfter(step: number): void;
  /** Writes down that the run uses a shared result. @param name of its folder. */
  noteUse(name: string): void;
}

/** Folders of results that experiments share. */
export interface SharedFolders {
  folderOf(key: string): string;
}

/** Places for the results of steps, and places where kept ones are looked for. */
export class Places {
  readonly #own: string | null;
  readonly #others: readonly string[];
  readonly #scratchParent: string;
  readonly #keeper: Keeper | undefined;
  readonly #shared: SharedFolders | undefined;
  /** Folder of packed weights, in the run that they are of; null where they are not kept. */
  readonly panels: string | null;
  #scratch: ScratchFolder | null = null;

  /**
   * @param own the run folder that results are kept in; null keeps none.
   * @param others runs whose results may serve, by their folder or a file in it.
   * @param scratchParent where a folder can be made for what is needed and not kept.
   * @param keeper of the run folder `own`, where this process works in it alone.
   * @param shared where large results are kept for other experiments, too.
   * @param packs the run folder that packed weights are kept in; absent: they are not kept.
   */
  constructor(
    own: string | null,
    others: readonly string[],
    scratchParent: string,
    keeper?: Keeper,
    shared?: SharedFolders,
    packs?: string,
  ) {
    this.#own = own;
    this.#keeper = keeper;
    this.#shared = shared;
    this.#scratchParent = scratchParent;
    this.panels = packs === undefined ? null : join(packs, RUN_FILES.packed);
    this.#others = others.map((path) => (statSync(path).isDirectory() ? path : dirname(path)));
  }

  /** To be called before every write into the run folder. @throws UserError where it is another process's by now. */
  check(): void {
    this.#keeper?.check();
  }

  /** See {@link Keeper.dropStepsAfter}. */
  dropStepsAfter(step: number): void {
    this.#keeper?.dropStepsAfter(step);
  }

  /** To be called before a result is looked for or made under a key: a run that uses it keeps it. */
  noteUse(key: string): void {
    this.#keeper?.noteUse(nameOfKey(key));
  }

  /** Path in the run folder; null where nothing is kept. */
  own(file: RunFile): string | null {
    return this.#own === null ? null : join(this.#own, RUN_FILES[file]);
  }

  /** Paths in runs of before, and of a step that other experiments share. @param key of the step. */
  others(file: RunFile, key: string): readonly string[] {
    const folders = [...(this.#shared ? [this.#shared.folderOf(key)] : []), ...this.#others];
    return folders.map((folder) => join(folder, RUN_FILES[file]));
  }

  /** True where results are kept for other experiments, too. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** Path that other experiments share, else in the run folder or in one that is removed at the end. */
  async makeShared(file: RunFile, key: string): Promise<string> {
    if (!this.#shared) return this.make(file);
    this.check();
    const folder = this.#shared.folderOf(key);
    await writing(folder, () => mkdir(folder, { recursive: true }));
    return join(folder, RUN_FILES[file]);
  }

  /** Path in the run folder, or else in a folder that is removed at the end. */
  async make(file: RunFile): Promise<string> {
    this.check();
    const own = this.own(file);
    return own ?? join(await this.scratch(), RUN_FILES[file]);
  }

  /** A folder that is removed at the end. */
  async scratch(): Promise<string> {
    this.#scratch ??= await makeScratchFolder(this.#scratchParent);
    return this.#scratch.path;
  }

  /** Removes what was not to be kept. */
  async close(): Promise<void> {
    await this.#scratch?.remove();
  }
}
