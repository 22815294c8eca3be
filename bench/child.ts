/** Measurements run in separate processes, so that each has its own memory and threads. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Returns the last line that the command prints, which is JSON. */
export async function lastJson<T>(command: string, words: readonly string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(command, words, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}

/** Runs one of our scripts with a JSON argument and returns the JSON that it prints. */
export function runScript<T>(file: string, argument: object): Promise<T> {
  return lastJson<T>(process.execPath, ['--import', 'tsx', file, JSON.stringify(argument)]);
}
