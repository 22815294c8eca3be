/** This file names the files in a run folder, and writes and reads them. */

import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { reading, writingNow } from '../disk/faults.ts';
import { parseJson } from '../disk/json.ts';
import { UserError } from '../protocol/errors.ts';
import { isObject } from '../protocol/object.ts';

/** Other files of the run are not touched by it. */
const DAMAGED =
  'Restore the file from a copy; without one, delete the run folder and run the experiment again.';

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
  /** This folder has packed weights, a file for each layer, as products read them: they can be made again. */
  packed: 'packed',
  /** This folder has what each task came to, a file for each task and variant. */
  tasks: 'tasks',
  /** This folder has the scales and grids that a method learned before it rounded, a file for each layer. */
  grids: 'grids',
  /** What is taken out of keys before they are quantized, by layer. */
  keyMeans: 'key-means.safetensors',
  /** The ratios that a search found for the sites of each layer. */
  clipRatios: 'clip-ratios.json',
  /** The same before rotations were learned through the network. */
  startClips: 'start-clip-ratios.json',
  /** The ratios of both ends that were learned from these, or how far learning has come. */
  learnedClips: 'learned-clips.json',
  activations: 'activations.json',
  /** What each rounding costs the loss, by layer. */
  attribution: 'attribution.json',
  results: 'results.json',
  /** This folder tells which process is at work. */
  lock: 'lock',
} as const;

/** True for the folder of a run. */
export const isRunFolder = (folder: string): boolean => existsSync(join(folder, RUN_FILES.run));

export function writeJson(path: string, value: unknown): void {
  writeText(path, `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * Writes text so that a reader, or a crash at any moment, sees the old or the new contents and nothing between.
 * It is synchronous: the writes of a run keep their order with its events, and an ending process cannot lose one.
 */
export function writeText(path: string, text: string): void {
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
 * @throws UserError `runs/unreadable` when it is not there, `runs/damaged` when it is not JSON or nests too deep.
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await reading(path, () => readFile(path, 'utf8'), {
    code: 'runs/unreadable',
    hint: 'A run is a folder with run.json in it; `spinquant runs` lists them.',
  });
  return parseJson(text, path, { code: 'runs/damaged', hint: DAMAGED });
}

/** The schema of a file, or another check of its value. */
interface Schema<T> {
  safeParse(value: unknown): z.ZodSafeParseResult<T>;
}

/** Reads and checks a JSON file of a run that has `"version": 1`. @throws UserError as {@link parseVersion1}. */
export async function readVersion1<T>(path: string, schema: Schema<T>, what: string): Promise<T> {
  return parseVersion1(await readJson(path), path, schema, what);
}

/**
 * @param what the file is, for people: `the record of a run`.
 * @throws UserError `runs/version` where another version wrote it, `runs/damaged` where it has another shape.
 */
export function parseVersion1<T>(value: unknown, path: string, schema: Schema<T>, what: string): T {
  const version = isObject(value) ? value.version : undefined;
  if (version !== 1 && version !== undefined)
    throw new UserError(
      'runs/version',
      `${path} has version ${JSON.stringify(version)}; this SpinQuant Lab reads version 1.`,
      'Use the version of SpinQuant Lab that wrote the run.',
    );
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(
    'runs/damaged',
    `${path} is not ${what}: ${issue?.path.join('.') || 'the file'}: ${issue?.message}.`,
    DAMAGED,
  );
}
