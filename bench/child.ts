/** Measurements in processes of their own, so that memory and threads are their own. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The last line that the command prints, which is JSON. */
export async function lastJson<T>(command: string, words: readonly string[]): Promise<T> {
  const { stdout } = await promisify(execFile)(command, words, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}

/** What a script of ours prints when it is given one JSON argument. */
export function runScript<T>(file: string, argument: object): Promise<T> {
  return lastJson<T>(process.execPath, ['--import', 'tsx', file, JSON.stringify(argument)]);
}
