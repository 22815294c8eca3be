/** How a process becomes a rank. */
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import manifest from '../../../package.json' with { type: 'json' };
import { messageOf, UserError } from '../../protocol/errors.ts';
import { loadMpiAddon, type MpiAddon } from './addon.ts';
import { expectSame, NotToTell } from './agreement.ts';
import { type Launcher, launcherOf } from './launcher.ts';
import { MpiRanks } from './mpi-ranks.ts';
import { gatherTexts, ONE_RANK, type Ranks } from './ranks.ts';

/**
 * The ranks that a launcher started this process with; one where it was started alone. To be called once.
 * @throws UserError `mpi/addon`, `mpi/no-library`, `mpi/other-launcher`, and {@link NotToTell} on ranks that have the fault
 * of one that tells it.
 */
export async function joinRanks(environment = process.env): Promise<Ranks> {
  const launcher = launcherOf(environment);
  if (launcher === null || launcher.size === 1) return ONE_RANK;
  try {
    return await join(launcher, environment);
  } catch (error) {
    // One machine may lack what others have; a wrong launcher is wrong for all.
    const isAll = error instanceof UserError && error.code === 'mpi/other-launcher';
    if (error instanceof UserError && (isAll ? launcher.rank > 0 : !launcher.speaks)) throw new NotToTell();
    throw error;
  }
}

async function join(launcher: Launcher, environment: NodeJS.ProcessEnv): Promise<Ranks> {
  const addon = loadMpiAddon();
  leaveMemoryAlone(environment);
  const { name, ...library } = loadLibrary(addon, launcher);
  const version = shortened(library.version);
  await addon.start();
  if (addon.size() !== launcher.size) {
    throw new UserError(
      'mpi/other-launcher',
      `${launcher.name} started ${launcher.size} processes, and the MPI library ${name} (${version}) sees ${addon.size()}: it is not the launcher's own.`,
      launcher.name.startsWith('Slurm')
        ? 'Start them with the interface that this library speaks, as srun --mpi=pmix (srun --mpi=list shows all), or name the right library in SPINQUANT_MPI_LIBRARY.'
        : "Start them with this library's own mpirun, or name the launcher's library in SPINQUANT_MPI_LIBRARY.",
    );
  }
  const ranks = new MpiRanks(addon, version);
  ranks.threads = await threadsOf(ranks);
  return ranks;
}

/**
 * UCX, below many an MPI, writes new code over the functions that ask for memory, while other threads of ours run in them,
 * and takes the signals of faults. Neither is needed for what we send.
 */
function leaveMemoryAlone(environment: NodeJS.ProcessEnv): void {
  environment.UCX_MEM_EVENTS ??= 'no';
  environment.UCX_ERROR_SIGNALS ??= '';
}

/** Compares the programs of the ranks. @throws UserError `mpi/ranks-differ`. */
export function expectSameProgram(ranks: Ranks): Promise<void> {
  const { platform, arch } = process;
  return expectSame(ranks, { version: `SpinQuant Lab ${manifest.version}`, platform: `${platform}-${arch}` });
}

/** `Open MPI v4.1.4, package: …` and `MPICH Version:\t4.0.2` say more, or otherwise, than a line of a log needs. */
function shortened(version: string): string {
  return version
    .replace(/,.*$/, '')
    .replace(/\s*Version:\s*/, ' ')
    .trim();
}

function loadLibrary(addon: MpiAddon, { name, size, libraries }: Launcher) {
  try {
    return addon.load(libraries);
  } catch (error) {
    throw new UserError(
      'mpi/no-library',
      `${name} started ${size} processes, and no MPI library for them was found (${messageOf(error)}).`,
      "Load the site's module of MPI, or name its library in SPINQUANT_MPI_LIBRARY; or start a single process.",
    );
  }
}

/** Ranks that may run on the same processors share them. */
async function threadsOf(ranks: Ranks): Promise<number> {
  const own = `${hostname()} ${processors()}`;
  const sharing = (await gatherTexts(ranks, own)).filter((place) => place === own).length;
  return Math.max(1, Math.floor(availableParallelism() / sharing));
}

/** The processors that the launcher bound this process to; the same text for all where that cannot be read. */
function processors(): string {
  try {
    return /^Cpus_allowed:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  } catch {
    return '';
  }
}
