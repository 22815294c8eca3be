/** Runs the programs of a scheduler. */
import { execFile } from 'node:child_process';
import { codeOf, UserError } from '../../protocol/errors.ts';

/** The controller of a busy site answers within seconds; one that is gone, never. */
const TIMEOUT_MS = 60_000;
/** The queue of a large site as JSON. */
const MAX_BYTES = 2 ** 28;

/** A program of the scheduler that ended with a fault, in its own words. */
export class CommandFault extends Error {
  override readonly name = 'CommandFault';
}

/**
 * @returns what it wrote to stdout.
 * @throws UserError `cluster/no-slurm` where the program is not there; {@link CommandFault} where it refuses.
 */
export function runCommand(program: string, args: readonly string[]): Promise<string> {
  const options = {
    timeout: TIMEOUT_MS,
    maxBuffer: MAX_BYTES,
    // Its words are looked at.
    env: { ...process.env, LC_ALL: 'C' },
  };
  return new Promise((resolve, reject) => {
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (codeOf(error) === 'ENOENT') return reject(notFound(program));
      reject(new CommandFault(saidBy(program, stderr) || error.message));
    });
  });
}

function notFound(program: string): UserError {
  return new UserError(
    'cluster/no-slurm',
    `${program} was not found: this machine is no part of a Slurm cluster, or its programs are not in PATH.`,
    'Log in to a machine of the cluster that submits jobs, and start there. "scheduler": "none" under "cluster" computes here.',
  );
}

/** `sbatch: error: Batch job submission failed: Invalid partition` without its beginnings. */
function saidBy(program: string, stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(new RegExp(`^${program}: (error: )?`), '').trim());
  return lines.filter((line) => line !== '').join(' ');
}
