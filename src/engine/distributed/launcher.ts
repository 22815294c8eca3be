/** What the environment tells of the program that started this process with others like it. */

export interface Launcher {
  /** For people. */
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  /** True for one rank of each machine, as far as the launcher tells. */
  readonly speaks: boolean;
  /** File names of the libraries that go with it, the likeliest first. */
  readonly libraries: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const OPEN_MPI = ['libmpi.so.40', 'libmpi.40.dylib'];
const MPICH = ['libmpi.so.12', 'libmpich.so.12', 'libmpi.12.dylib', 'libmpi_cray.so.12', 'libmpifort.so.12'];
/** Whichever of both a site has under this name. */
const ANY = ['libmpi.so', 'libmpi.dylib', 'libmpich.so'];

interface Kind {
  readonly name: string;
  readonly rank: string;
  readonly size: string;
  /** Of the rank among those of its machine. */
  readonly localRank: string;
  /** A variable that must be there, too. */
  readonly mark?: string;
  readonly libraries: readonly string[];
}

const SRUN: Kind = {
  name: "Slurm's srun",
  rank: 'SLURM_PROCID',
  size: 'SLURM_STEP_NUM_TASKS',
  localRank: 'SLURM_LOCALID',
  mark: 'SLURM_STEP_ID',
  libraries: [...OPEN_MPI, ...MPICH, ...ANY],
};

/** Open MPI's own mpirun sets PMIx variables too, and Slurm's srun those of a PMI: the order counts. */
const KINDS: readonly Kind[] = [
  {
    name: "Open MPI's mpirun",
    rank: 'OMPI_COMM_WORLD_RANK',
    size: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
    libraries: [...OPEN_MPI, ...ANY],
  },
  // By --mpi=pmi2, which Open MPI need not speak. MPICH's own mpiexec is inside a job of Slurm with ranks of its own.
  { ...SRUN, rank: 'PMI_RANK', size: 'PMI_SIZE', libraries: [...MPICH, ...OPEN_MPI, ...ANY] },
  SRUN,
  {
    name: "MPICH's mpiexec, or a relative of it",
    rank: 'PMI_RANK',
    size: 'PMI_SIZE',
    localRank: 'MPI_LOCALRANKID',
    libraries: [...MPICH, ...ANY],
  },
];

/** @returns null where this process was started alone, or by nothing that is known. */
export function launcherOf(environment: Environment): Launcher | null {
  for (const { name, rank, size, localRank, mark, libraries } of KINDS) {
    const [own, all] = [wholeOf(environment[rank]), wholeOf(environment[size])];
    if (own === null || all === null || (mark !== undefined && environment[mark] === undefined)) continue;
    const named = environment.SPINQUANT_MPI_LIBRARY;
    const speaks = (wholeOf(environment[localRank]) ?? own) === 0;
    return { name, rank: own, size: all, speaks, libraries: named ? [named] : libraries };
  }
  return null;
}

function wholeOf(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
