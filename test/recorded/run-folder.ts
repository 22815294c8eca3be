/** Everything in a run folder, normalised. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { RUN_FILES } from '../../src/runs/index.ts';
import { type Json, type JsonObject, parseJson } from './json.ts';
import { normalise, normaliseEvents, type Places, sha256 } from './normalise.ts';
import { readLog } from './product.ts';

const TENSORS = '.safetensors';

/** By file; those of `rounded` and `checkpoint` together, and the log as `events`. */
export function readRun(run: string, places: Places): JsonObject {
  const files = readdirSync(run, { recursive: true, encoding: 'utf8' })
    .map((name) => name.split(sep).join('/'))
    // Locks go by the process and the clock.
    .filter((name) => !name.startsWith(RUN_FILES.lock))
    .sort();
  const tensors = (folder: string): JsonObject =>
    Object.fromEntries(
      files
        .filter((name) => name.startsWith(folder) && name.endsWith(TENSORS))
        .map((name) => [name, tensorsOf(join(run, name), places)]),
    );
  const document = (name: string): Json =>
    files.includes(name) ? normalise(parseJson(readFileSync(join(run, name), 'utf8')), places) : null;
  return {
    files,
    rotations: tensors('rotations'),
    rounded: tensors('rounded/'),
    checkpoint: tensors('checkpoint/'),
    record: document('run.json'),
    settings: document('experiment.json'),
    results: document('results.json'),
    activations: document('activations.json'),
    events: normaliseEvents(readLog(run), places),
  };
}

/** Type, shape and hash of every tensor, and the notes beside them. */
function tensorsOf(path: string, places: Places): JsonObject {
  const bytes = readFileSync(path);
  const { tensors, metadata } = readSafetensorsHeader(path);
  const hashes = [...tensors].map(([name, { dtype, dims, byteOffset, byteLength }]) => [
    name,
    `${dtype} [${dims.join(', ')}] ${sha256(bytes.subarray(byteOffset, byteOffset + byteLength))}`,
  ]);
  const notes = Object.entries(metadata).map(([name, text]) => [name, normalise(readNote(text), places)]);
  return { tensors: Object.fromEntries(hashes), metadata: Object.fromEntries(notes) };
}

/** A note may be a document itself. */
function readNote(text: string): Json {
  return text.startsWith('{') ? parseJson(text) : text;
}
