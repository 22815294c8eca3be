/** Names of the files in a run folder, and how they are written and read. */
import { readFile } from 'node:fs/promises';
import { writeAll, writeAtomic } from '../formats/atomic.ts';
import { messageOf, UserError } from '../protocol/errors.ts';

export const RUN_FILES = {
  /** The validated experiment; paths relative to the experiment file. */
  experiment: 'experiment.json',
  /** Status and provenance. */
  run: 'run.json',
  /** One event a line. */
  events: 'events.jsonl',
  rotations: 'rotations.safetensors',
  /** Folder: what is needed to resume. */
  checkpoint: 'checkpoint',
  activations: 'activations.json',
  results: 'results.json',
} as const;

/** Writes JSON so that a reader, or a crash at any moment, sees the old or the new contents and nothing between. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
  await writeAtomic(path, (file) => writeAll(file, bytes));
}

/**
 * Reads a JSON file of a run.
 * @throws UserError `runs/unreadable` when it is not there, `runs/damaged` when it is not JSON.
 */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UserError(
      'runs/unreadable',
      `${path} cannot be read: ${messageOf(error)}.`,
      'A run is a folder with run.json in it; `spinquant runs` lists them.',
    );
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UserError(
      'runs/damaged',
      `${path} is not JSON: ${messageOf(error)}.`,
      'Delete the run folder, or restore the file.',
    );
  }
}

/** Reads a JSON file of a run that carries `"version": 1`. The rest of its shape is trusted: we wrote it. */
export async function readVersion1<T extends { readonly version: 1 }>(path: string): Promise<T> {
  const value = await readJson(path);
  const version =
    typeof value === 'object' && value !== null ? (value as { version?: unknown }).version : undefined;
  if (version !== 1)
    throw new UserError(
      'runs/version',
      `${path} has version ${JSON.stringify(version)}; this SpinQuant Lab reads version 1.`,
      'Use the version of SpinQuant Lab that wrote the run.',
    );
  return value as T;
}
