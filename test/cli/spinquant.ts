/** Runs the command line as a person does: another process, its own streams and exit code. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { programArguments } from '../helpers/program.ts';

/** The command line, as arguments of Node. */
export const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  /** This signal ended it; null if none did. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * @param watch gets the process while it runs, to send it signals.
 * @param env is added to the environment.
 */
export function spinquant(
  args: readonly string[],
  cwd = tmpdir(),
  watch: (child: ChildProcess) => void = () => {},
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...MAIN, ...args], {
    cwd,
    env: { ...process.env, ...env },
  });
  watch(child);
  return ended(child);
}

/**
 * Gathers what a process writes until it ends.
 * @param watch is called with the text on stderr as it grows.
 */
export function ended(
  child: ChildProcessWithoutNullStreams,
  watch: (stderr: string) => void = () => {},
): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
    watch(stderr);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}
