import { existsSync, statSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import type { ExportTarget } from '../../protocol/export-formats.ts';
import { writeJson, writeModelFolder } from '../model/model-folder.ts';
import type { Network } from '../network/network.ts';
import { operatorLibraryPath } from '../runtime/addon.ts';
import { genaiConfig, type SpecialTokens } from './genai-config.ts';
import { limitsOf, type WrittenTables } from './limits.ts';
import { cacheRowsOf } from './native-attention.ts';
import { nativeUsage, STOCK_USAGE } from './native-readme.ts';
import { contextLength } from './rotary-tables.ts';
import {
  DATA_FILE,
  hasMask,
  MODEL_FILE,
  type ModelToWrite,
  type WrittenModel,
  writeModel,
} from './write-model.ts';

const GENAI_FILE = 'genai_config.json';
const README_FILE = 'README.md';
const REPORT_FILE = 'export.json';

/** Files of a model that tokenizers, chat templates and end tokens are read from. */
const TEXT_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'generation_config.json',
];

export interface FolderToWrite extends ModelToWrite {
  readonly tokens: SpecialTokens;
  /** What the report says of where the model comes from. */
  readonly origin: Readonly<Record<string, unknown>>;
  /** The README around the lines that say how the folder is loaded; absent: these alone. */
  readonly card?: (usage: string) => string;
}

/** What is in an exported folder, `export.json`. */
export interface FolderReport extends WrittenTables {
  readonly target: ExportTarget;
  /** The library with operators that ONNX Runtime lacks, and the platform it is for; null where it has all. */
  readonly library: { readonly file: string; readonly platform: string } | null;
  readonly contextLength: number;
  /** Nodes of each operator. */
  readonly operators: Readonly<Record<string, number>>;
  /** Bytes of each file. */
  readonly files: Readonly<Record<string, number>>;
  /** What the model does otherwise than the network it was made of. */
  readonly notes: readonly string[];
}

/**
 * The library that goes with a target's models; null where it needs none.
 * @throws UserError `export/no-library`.
 */
export function libraryFor(target: ExportTarget, built = operatorLibraryPath()): string | null {
  if (target === 'stock' || built !== null) return target === 'stock' ? null : built;
  throw new UserError(
    'export/no-library',
    `The target native needs our operators as a shared library (build/native/libspinquant_ops), which is not built for ${PLATFORM}.`,
    'Run `npm run build:native` with a C++17 compiler, or choose --target stock.',
  );
}

const PLATFORM = `${process.platform}-${process.arch}`;

/**
 * Writes a folder that ONNX Runtime and onnxruntime-genai run. It appears whole or not at all.
 * @throws UserError `export/…`, `file/unwritable`.
 */
export async function writeModelAsFolder(
  out: string,
  model: FolderToWrite,
  signal?: AbortSignal,
): Promise<FolderReport> {
  const { network, target, origin } = model;
  const library = libraryFor(target);
  let report: FolderReport | null = null;
  await writeModelFolder(out, async (folder) => {
    const written = await writeModel(folder, model, signal);
    const beside = await filesBeside(folder, model, written, library);
    const sizes = [MODEL_FILE, DATA_FILE, ...beside].map((name): [string, number] => [
      name,
      statSync(join(folder, name)).size,
    ]);
    report = {
      target,
      ...written.tables,
      library: library === null ? null : { file: basename(library), platform: PLATFORM },
      contextLength: contextLength(network.checkpoint.config),
      operators: written.operators,
      files: Object.fromEntries(sizes),
      notes: limitsOf(network, target, written.tables),
    };
    await writeJson(join(folder, REPORT_FILE), { ...origin, ...report });
  });
  if (report === null) throw new Error('the folder was written without a report');
  return report;
}

/** Writes what a runtime needs beside the model. @returns the names of the files. */
async function filesBeside(
  folder: string,
  model: FolderToWrite,
  { rows }: WrittenModel,
  library: string | null,
): Promise<string[]> {
  const { network, target, tokens } = model;
  const { config, dir } = network.checkpoint;
  const operators = library === null ? null : basename(library);
  const shape = { contextLength: contextLength(config), cacheWidth: rows.width, hasMask: hasMask(target) };
  await writeJson(join(folder, GENAI_FILE), genaiConfig(config, tokens, { ...shape, library: operators }));
  const copies = TEXT_FILES.filter((name) => existsSync(join(dir, name))).map((name) => join(dir, name));
  for (const from of library === null ? copies : [...copies, library]) {
    const path = join(folder, basename(from));
    await writing(path, () => copyFile(from, path));
  }
  const texts = copies.map((path) => basename(path));
  await writeCard(folder, model);
  return [GENAI_FILE, ...texts, ...(operators === null ? [] : [operators]), README_FILE];
}

async function writeCard(
  folder: string,
  { network, target, tokens, card = (usage) => `${usage}\n` }: FolderToWrite,
): Promise<void> {
  const path = join(folder, README_FILE);
  await writing(path, () => writeFile(path, card(usageOf(network, libraryFor(target), tokens.bos ?? 0))));
}

/** @param first the id that texts begin with. */
function usageOf(network: Network, library: string | null, first: number): string {
  if (library === null) return STOCK_USAGE;
  const { kvHeads } = network.checkpoint.config;
  const rows = cacheRowsOf(network);
  return nativeUsage({ library: basename(library), platform: PLATFORM, rows, kvHeads, first });
}

/**
 * Writes card and report of a folder anew, with what was found in it since.
 * @param model whose card tells of that.
 */
export async function addFindings<Findings extends object>(
  folder: string,
  model: FolderToWrite,
  report: FolderReport,
  findings: Findings,
): Promise<FolderReport & Findings> {
  await writeCard(folder, model);
  const files = { ...report.files, [README_FILE]: statSync(join(folder, README_FILE)).size };
  const all = { ...report, files, ...findings };
  await writeJson(join(folder, REPORT_FILE), { ...model.origin, ...all });
  return all;
}
