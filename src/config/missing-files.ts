/** Faults for files and folders that an experiment names: missing, of the wrong kind, or not downloaded yet. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { kindFault, type WantedKind } from '../disk/file-kind.ts';
import { isOffline } from '../hub/environment.ts';
import { hubAddress, locateModel, locateText } from '../hub/locate.ts';
import { describeAddress, type HubAddress } from '../hub/names.ts';
import { UserError } from '../protocol/errors.ts';
import { MODEL_FOLDER_HINT } from '../protocol/model-folder.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import { pathOf, type TextSource } from './schema-text.ts';

const RELATIVE = 'Paths are relative to the folder of the experiment file.';

/** @param model resolved. */
export async function modelFault(path: JsonPath, model: string): Promise<RuleFault | null> {
  return inWords(path, async () => {
    const address = hubAddress('model', model);
    const folder = locateModel(model);
    if (address !== null) return folder === null ? notDownloaded(path, address) : null;
    return folder === null ? null : folderFault(path, folder);
  });
}

async function folderFault(path: JsonPath, model: string): Promise<RuleFault | null> {
  const kind = await kindOf(model);
  if (kind === 'file')
    return missing(
      path,
      `${model} is a file; a model is a folder.`,
      `Convert a .bin or .gguf file first: spinquant import FILE --out FOLDER. ${MODEL_FOLDER_HINT}`,
    );
  if (kind === null) return missing(path, `there is no folder ${model}.`, RELATIVE);
  if ((await kindOf(resolve(model, 'config.json'))) !== 'file')
    return missing(path, `the folder ${model} has no config.json.`, MODEL_FOLDER_HINT);
  return null;
}

/** @param source its path is resolved. */
export async function textFault(path: JsonPath, source: TextSource): Promise<RuleFault | null> {
  const place = typeof source === 'string' ? path : [...path, 'path'];
  const file = pathOf(source);
  return inWords(place, async () => {
    const address = hubAddress('dataset', file);
    if (address === null && (await kindOf(file)) === null)
      return missing(place, `there is no file ${file}.`, RELATIVE);
    const files = filesOf(place, source);
    if (!Array.isArray(files)) return files ?? (address && notDownloaded(place, address));
    return files.map((name) => wrongKind(place, name)).find((fault) => fault !== null) ?? null;
  });
}

/** What a folder of questions holds is looked at by whoever reads them. @param data resolved. */
export async function dataFault(path: JsonPath, data: string): Promise<RuleFault | null> {
  const kind = await kindOf(data);
  if (kind === null) return missing(path, `there is no file or folder ${data}.`, RELATIVE);
  return kind === 'file' ? inWords(path, async () => wrongKind(path, data)) : null;
}

/** The files of a text; a fault where a folder has none; null where they must be downloaded. */
function filesOf(path: JsonPath, source: TextSource): string[] | RuleFault | null {
  try {
    return locateText(pathOf(source), typeof source === 'string' ? null : source.split);
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== 'dataset/no-files') throw error;
    const message = `${pathOf(source)} is a folder without texts: *.parquet, *.jsonl, *.json or *.txt.`;
    return missing(path, message, RELATIVE);
  }
}

/** A file that is plainly no text, or that cannot be read. */
function wrongKind(path: JsonPath, file: string): RuleFault | null {
  const fault = kindFault(file, kindOfText(file));
  return fault && asFault(path, fault);
}

function kindOfText(file: string): WantedKind {
  if (/\.parquet$/i.test(file)) return 'parquet';
  return /\.(jsonl|ndjson|json)\.gz$/i.test(file) ? 'gzip' : 'text';
}

export async function runsFault(path: JsonPath, folder: string): Promise<RuleFault | null> {
  if ((await kindOf(folder)) !== 'file') return null;
  return missing(path, `${folder} is a file; runs are written to a folder.`, 'Name another folder, or none.');
}

/** While a file is edited nothing is downloaded; a job does it when it starts. */
function notDownloaded(path: JsonPath, address: HubAddress): RuleFault {
  const key = formatPath(path);
  const name = describeAddress(address);
  if (isOffline())
    return {
      severity: 'error',
      code: 'hub/offline',
      path,
      message: `${key}: ${name} is not in the cache, and HF_HUB_OFFLINE forbids to download it.`,
      hint: `Unset HF_HUB_OFFLINE, or download it where there is a network: spinquant download ${name}`,
    };
  return {
    severity: 'warning',
    code: 'hub/not-downloaded',
    path,
    message: `${key}: ${name} is not on this disk. It is downloaded from the Hub when a job starts.`,
    hint:
      address.kind === 'model'
        ? 'If a folder is meant, check its path: it is relative to the folder of the experiment file.'
        : 'Nothing needs to be done; "spinquant download" fetches it now.',
  };
}

/** In the same words as where the file is read later, so that the two are one fault. */
function asFault(path: JsonPath, { code, message, hint }: UserError): RuleFault {
  return { severity: 'error', code, path, message, hint };
}

async function inWords(path: JsonPath, work: () => Promise<RuleFault | null>): Promise<RuleFault | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return asFault(path, error);
  }
}

function missing(path: JsonPath, message: string, hint: string): RuleFault {
  return {
    severity: 'error',
    code: 'config/missing-file',
    path,
    message: `${formatPath(path)}: ${message}`,
    hint,
  };
}

async function kindOf(path: string): Promise<'file' | 'folder' | null> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch {
    return null; // Missing and unreadable paths are the same to the person.
  }
}
