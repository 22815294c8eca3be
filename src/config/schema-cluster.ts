import { z } from 'zod';

/** One word or path of a command line: it stands in the job's script in quotes. */
const word = z
  .string()
  .min(1)
  .max(1000)
  .regex(/^[^\0\r\n]+$/);

export const clusterSchema = z
  .strictObject({
    scheduler: z
      .enum(['none', 'slurm'])
      .default('none')
      .describe(
        'slurm: optimize hands the work to the Slurm cluster of this machine and watches it there. none, the default, computes here. Reference: none.',
      ),
    partition: word
      .nullable()
      .default(null)
      .describe(
        "Partition of the cluster, as sinfo lists it (sbatch --partition); null for the site's default.",
      ),
    time: z
      .string()
      .regex(/^(\d+|\d+:\d{2}(:\d{2})?|\d+-\d+(:\d{2}(:\d{2})?)?)$/)
      .nullable()
      .default(null)
      .meta({ examples: ['30', '2:00:00', '1-12:00:00'] })
      .describe(
        'Time limit of a job as Slurm writes it: minutes, hours:minutes:seconds or days-hours. A step that needs longer goes on in the next job. null for three times what the plan expects, 15 minutes at least.',
      ),
    cpus: z
      .int()
      .min(1)
      .max(1024)
      .default(4)
      .describe(
        'Processors of a job (sbatch --cpus-per-task). They are its threads, unless the experiment has "threads".',
      ),
    ranks: z
      .int()
      .min(1)
      .max(1024)
      .default(1)
      .describe(
        'Processes that share a job by MPI, each on a node of its own (sbatch --ntasks, --ntasks-per-node=1). cpus and memory are those of one.',
      ),
    launcher: word
      .default('srun --mpi=pmix')
      .meta({ examples: ['srun --mpi=pmi2', 'mpirun --bind-to none'] })
      .describe(
        'What starts the ranks inside a job, as a line of the shell: "srun --mpi=pmix" for Open MPI, "srun --mpi=pmi2" for MPICH, or an mpirun that knows Slurm. Without a meaning where ranks is 1.',
      ),
    memory: z
      .string()
      .regex(/^\d+[KMGT]?$/)
      .nullable()
      .default(null)
      .meta({ examples: ['16G', '64G'] })
      .describe(
        'Memory of a job on a node as Slurm writes it: "16G". null for what the plan expects and a quarter more.',
      ),
    maxJobs: z
      .int()
      .min(1)
      .max(1000)
      .default(8)
      .describe('At most this many jobs run at once: the limit of the job array.'),
    account: word
      .nullable()
      .default(null)
      .describe("Account that pays for the jobs (sbatch --account); null for the site's default."),
    qos: word
      .nullable()
      .default(null)
      .describe("Quality of service of the jobs (sbatch --qos); null for the site's default."),
    options: z
      .array(word)
      .max(100)
      .default([])
      .meta({ examples: [['--constraint=avx512', '--exclusive']] })
      .describe('More options of sbatch, each as one string: ["--constraint=avx512"].'),
    setup: z
      .array(
        z
          .string()
          .max(1000)
          .regex(/^[^\0\r\n]*$/),
      )
      .max(100)
      .default([])
      .meta({ examples: [['module load nodejs/22']] })
      .describe('Lines of the shell that a job runs before its step: ["module load nodejs/22"].'),
    program: word
      .nullable()
      .default(null)
      .describe(
        'Command that starts SpinQuant Lab on a node, for example a path of spinquant; null for the one that submits, by its path on the shared disk.',
      ),
  })
  .describe(
    'A cluster that fills the table of a matrix, or runs the experiment: every job works in the run folders on the shared disk. docs/cluster.md has an example.',
  );

/** How jobs are handed to a cluster. */
export type Cluster = z.output<typeof clusterSchema>;
