/** Starts the command line as ranks of the MPIs that are installed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Ended, ended, MAIN } from '../cli/spinquant.ts';

/** As Debian calls them, where both may be installed. */
const LAUNCHERS = {
  'Open MPI': ['mpirun.openmpi', '--allow-run-as-root', '--oversubscribe'],
  MPICH: ['mpirun.mpich'],
} as const;

export type MpiName = keyof typeof LAUNCHERS;
export const MPI_NAMES = Object.keys(LAUNCHERS) as readonly MpiName[];

const isHere = (name: MpiName): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, LAUNCHERS[name][0])));

/** In one line, why tests by these MPIs are skipped; false where they are not, which they never are where CI runs. */
export function reasonToSkip(...names: readonly MpiName[]): string | false {
  const missing = names.filter((name) => !isHere(name)).map((name) => LAUNCHERS[name][0]);
  if (missing.length === 0 || process.env.CI === 'true') return false;
  return `no ${missing.join(', no ')} on the PATH`;
}

export interface Launch {
  readonly mpi: MpiName;
  readonly ranks: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with the text on stderr as it grows. */
  readonly watch?: (stderr: string, launcher: ChildProcess) => void;
}

/** @param commands one for all ranks, or one for each of them. */
export function launch(
  { mpi, ranks, env = {}, watch }: Launch,
  ...commands: readonly (readonly string[])[]
): Promise<Ended> {
  const [program, ...options] = LAUNCHERS[mpi];
  const count = ranks / commands.length;
  const parts = commands.map((args) => ['-np', String(count), process.execPath, ...MAIN, ...args]);
  const child = spawn(program, [...options, ...parts.flatMap((part, i) => (i > 0 ? [':', ...part] : part))], {
    env: { ...process.env, ...env },
  });
  return ended(child, (stderr) => watch?.(stderr, child));
}

/** Processes of ranks whose command line names a file. */
export function ranksOf(file: string): { readonly pid: number; readonly rank: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const of = (what: string) => readFileSync(join('/proc', name, what), 'utf8').split('\0');
        const rank = of('environ').find((line) => /^(OMPI_COMM_WORLD|PMI)_RANK=/.test(line));
        const isOurs = of('cmdline').includes(file) && of('cmdline')[0] === process.execPath;
        return rank && isOurs ? [{ pid: Number(name), rank: Number(rank.split('=')[1]) }] : [];
      } catch {
        return []; // It has ended, or it is another user's.
      }
    });
}
