/** Where a rank reads and writes: rank 0 in the run folders, the others in copies that are removed at the end. */
import { basename, join, relative, resolve, sep } from 'node:path';
import type { ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { isRunFolder, openRun, RUN_FILES, writeJson } from '../../runs/index.ts';
import { fromLeader } from '../distributed/agreement.ts';
import { mirrorFolder } from '../distributed/mirror.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { makeScratchFolder, type ScratchFolder } from './scratch-folder.ts';

/**
 * The runs folder of a rank. Ranks do the same work on the same files, and only rank 0 keeps it: what the others write,
 * rounded layers above all, they read again themselves.
 */
export class RankPlace {
  readonly #ranks: Ranks;
  readonly #own: ScratchFolder | null;
  readonly #copies = new Map<string, string>();

  private constructor(ranks: Ranks, own: ScratchFolder | null) {
    this.#ranks = ranks;
    this.#own = own;
  }

  /** @param runs the folder of runs, in which the others have a hidden one each. */
  static async open(ranks: Ranks, runs: string): Promise<RankPlace> {
    return new RankPlace(ranks, ranks.leads ? null : await makeScratchFolder(runs));
  }

  /**
   * The experiment as this rank runs it.
   * @param cell true where one cell of a matrix is run.
   * @throws UserError `mpi/matrix`.
   */
  experiment(asked: ResolvedExperiment, cell = false): ResolvedExperiment {
    if (this.#ranks.size > 1 && asked.matrix && !cell) {
      throw new UserError(
        'mpi/matrix',
        `${asked.source.file} is a matrix, and ${this.#ranks.size} ranks were started for it.`,
        'Start one process for a matrix. On a cluster its cells become jobs, each of several ranks with "cluster": { "scheduler": "slurm", "ranks": 2 }.',
      );
    }
    return this.#own ? { ...asked, runs: this.#own.path } : asked;
  }

  /**
   * A run folder of rank 0, or its copy. To be called on all ranks, with what was named there.
   * @param path a path that is no run folder is the same for all.
   */
  async run(path: string): Promise<string> {
    if (this.#ranks.size === 1) return path;
    const known = this.#copies.get(path);
    if (known !== undefined) return known;
    const found = await fromLeader(this.#ranks, async () => (isRunFolder(path) ? resolve(path) : ''));
    const own = found === '' ? path : await this.#copy(found);
    this.#copies.set(path, own);
    return own;
  }

  async #copy(source: string): Promise<string> {
    const target = this.#own && join(this.#own.path, `${this.#copies.size}-${basename(source)}`);
    await mirrorFolder(this.#ranks, source, target, isSent);
    if (target === null) return source;
    await moveExperimentFile(source, target);
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own?.remove();
  }
}

/** Locks are of a process, packed weights are made again, and what is half written is no one's. */
export function isSent(name: string): boolean {
  const [first = ''] = name.split('/');
  return first !== RUN_FILES.lock && first !== RUN_FILES.packed && !basename(name).startsWith('.');
}

/** A record names its experiment's file from its own folder. */
async function moveExperimentFile(source: string, target: string): Promise<void> {
  const { record } = await openRun(target);
  const file = resolve(source, record.experimentFile);
  const experimentFile = relative(target, file).split(sep).join('/');
  writeJson(join(target, RUN_FILES.run), { ...record, experimentFile });
}
