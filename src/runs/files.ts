/** This file names the files in a run folder, and writes and reads them. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { reading, writingNow } from '../disk/faults.ts';
import { messageOf, UserError } from '../protocol/errors.ts';

export const RUN_FILES = {
  /** The validated experiment; its paths are relative to the experiment file. */
  experiment: 'experiment.json',
  /** Status and provenance. */
  run: 'run.json',
  /** It has one event a line. */
  events: 'events.jsonl',
  rotations: 'rotations.safetensors',
  /** This folder has everything needed to resume. */
  checkpoint: 'checkpoint',
  /** This folder has the weights rounded by GPTQ, a file for each layer. */
  rounded: 'rounded',
  activations: 'activations.json',
  results: 'results.json',
} as const;

/**
 * Writes JSON so that a reader, or a crash at any moment, sees the old or the new contents and nothing between.
 * It is synchronous: the writes of a run keep their order with its events, and an ending process cannot lose one.
 */
export function writeJson(path: string, value: unknown): void {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  writingNow(path, () => {
    try {
      writeFileSync(temporary, text, { flush: true });
      renameSync(temporary, path);
    } catch (error) {
      removeQuietly(temporary);
      throw error;
    }
    syncFolder(dirname(path));
  });
}

/** The fault that counts is the one before. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What cannot be removed is left.
  }
}

/** Makes a rename in this folder durable. Windows cannot do this for folders. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Reads a JSON file of a run.
 * @throws UserError `runs/unreadable` when it is not there, `runs/damaged` when it is not JSON.
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await reading(path, () => readFile(path, 'utf8'), {
    code: 'runs/unreadable',
    hint: 'A run is a folder with run.json in it; `spinquant runs` lists them.',
  });
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

/** Reads a JSON file of a run that has `"version": 1`. The rest of its shape is trusted: we wrote it. */
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
