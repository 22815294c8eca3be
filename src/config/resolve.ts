import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import { reading } from '../disk/faults.ts';
import { expectKind, kindFault } from '../disk/file-kind.ts';
import { UserError } from '../protocol/errors.ts';
import {
  ExperimentError,
  type Fault,
  formatPath,
  type JsonPath,
  type RuleFault,
  uniqueFaults,
} from './faults.ts';
import { type ParsedExperiment, parseExperiment, type Reading } from './parse.ts';
import type { Experiment } from './schema.ts';
import type { Purpose } from './validate-together.ts';

export const EXPERIMENT_SUFFIX = '.spinquant.json';

/** The origin of a resolved experiment. */
export interface ExperimentSource {
  /** Absolute path of the experiment file. */
  readonly file: string;
  /** Paths in the file are relative to its folder. */
  readonly directory: string;
  readonly warnings: readonly Fault[];
  /** See {@link ParsedExperiment.written}; present where a matrix makes other experiments of them. */
  readonly written?: unknown;
}

/** A validated experiment. Its paths (model, texts, runs) are absolute and exist; only runs may not exist yet. */
export type ResolvedExperiment = Experiment & { readonly source: ExperimentSource };

export interface CheckedExperiment {
  /** Null when there is an error among the faults. */
  readonly experiment: ResolvedExperiment | null;
  readonly faults: readonly Fault[];
  readonly parsed: ParsedExperiment;
}

/**
 * Reads and checks an experiment file.
 * @throws ExperimentError with every fault; UserError when the file cannot be read.
 */
export async function resolveExperiment(
  path: string,
  purpose: Purpose = 'edit',
): Promise<ResolvedExperiment> {
  const file = resolve(path);
  const { experiment, faults } = await checkExperiment(await readExperimentText(file), file, purpose);
  if (!experiment) throw new ExperimentError(relativeToHere(file), faults);
  return experiment;
}

/** Works as {@link resolveExperiment} on a text that may not be saved yet. It never throws on a person's text. */
export async function checkExperiment(
  text: string,
  file: string,
  purpose: Purpose = 'edit',
): Promise<CheckedExperiment> {
  const parsed = parseExperiment(text, file, purpose);
  const directory = dirname(resolve(file));
  const missing = await Promise.all(parsed.readings.map((reading) => missingFiles(reading, directory)));
  const faults = uniqueFaults([...parsed.faults, ...missing.flat()]);
  if (!parsed.experiment || faults.some((fault) => fault.severity === 'error'))
    return { experiment: null, faults, parsed };
  const absolute = mapPaths(parsed.experiment, (path) => resolve(directory, path));
  const written = parsed.experiment.matrix && { written: parsed.written };
  return {
    experiment: { ...absolute, source: { file: resolve(file), directory, warnings: faults, ...written } },
    faults,
    parsed,
  };
}

/** Returns the experiment as a run keeps it: paths are again relative to the experiment file, with `/`. */
export function portableExperiment(experiment: ResolvedExperiment): Experiment {
  const { source, ...settings } = experiment;
  return mapPaths(settings, (path) => relative(source.directory, path).split(sep).join('/') || '.');
}

/** An experiment by its text alone, whether or not its files are there. @throws ExperimentError */
export function experimentOfText(text: string, path: string): ResolvedExperiment {
  const file = resolve(path);
  const { experiment, faults, written } = parseExperiment(text, file);
  if (!experiment) throw new ExperimentError(relativeToHere(file), faults);
  const found = resolvePortable(experiment, file);
  return { ...found, source: { ...found.source, warnings: faults, ...(experiment.matrix && { written }) } };
}

/** Inverts {@link portableExperiment}: paths become absolute, from the folder of the experiment file. */
export function resolvePortable(experiment: Experiment, file: string): ResolvedExperiment {
  const directory = dirname(resolve(file));
  return {
    ...mapPaths(experiment, (path) => resolve(directory, path)),
    source: { file: resolve(file), directory, warnings: [] },
  };
}

/** Returns a short name for run folders: `quick` for `quick.spinquant.json`. */
export function experimentSlug(file: string): string {
  const name = basename(file)
    .replace(/\.json$/i, '')
    .replace(/\.spinquant$/i, '');
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 40) || 'experiment'
  );
}

/** @throws UserError `config/unreadable`, `file/kind`. */
export async function readExperimentText(file: string): Promise<string> {
  return reading(
    relativeToHere(file),
    async () => {
      if (existsSync(file)) expectKind(file, 'experiment');
      return await readFile(file, 'utf8');
    },
    {
      code: 'config/unreadable',
      hint: `An experiment is a file that ends in ${EXPERIMENT_SUFFIX}; \`spinquant schema\` prints what it may hold.`,
    },
  );
}

function mapPaths(experiment: Experiment, map: (path: string) => string): Experiment {
  return {
    ...experiment,
    model: map(experiment.model),
    calibration: { ...experiment.calibration, text: experiment.calibration.text.map(map) },
    evaluation: {
      perplexity: experiment.evaluation.perplexity.map((task) => ({ ...task, text: map(task.text) })),
      tasks: experiment.evaluation.tasks.map((task) => ({ ...task, data: map(task.data) })),
    },
    runs: map(experiment.runs),
  };
}

/** Returns faults for named files and folders that are missing or of the wrong kind. */
async function missingFiles(reading: Reading, directory: string): Promise<Fault[]> {
  const { ask } = reading;
  const texts = range(ask(({ calibration }) => calibration.text.length));
  const measured = range(ask(({ evaluation }) => evaluation.perplexity.length));
  const tasks = range(ask(({ evaluation }) => evaluation.tasks.length));
  const checks: [JsonPath, string | undefined, Check][] = [
    [['model'], ask(({ model }) => model), modelFault],
    ...texts.map((index): [JsonPath, string | undefined, Check] => [
      ['calibration', 'text', index],
      ask(({ calibration }) => calibration.text[index]),
      textFault,
    ]),
    ...measured.map((index): [JsonPath, string | undefined, Check] => [
      ['evaluation', 'perplexity', index, 'text'],
      ask(({ evaluation }) => evaluation.perplexity[index]?.text),
      textFault,
    ]),
    ...tasks.map((index): [JsonPath, string | undefined, Check] => [
      ['evaluation', 'tasks', index, 'data'],
      ask(({ evaluation }) => evaluation.tasks[index]?.data),
      dataFault,
    ]),
    [['runs'], ask(({ runs }) => runs), runsFault],
  ];
  const faults = await Promise.all(
    checks.map(([path, name, check]) => (name === undefined ? null : check(path, resolve(directory, name)))),
  );
  return faults.filter((fault) => fault !== null).map((fault) => reading.place(fault));
}

type Check = (path: JsonPath, file: string) => Promise<RuleFault | null>;

const range = (length = 0): number[] => Array.from({ length }, (_, index) => index);

async function modelFault(path: JsonPath, model: string): Promise<RuleFault | null> {
  const kind = await kindOf(model);
  if (kind === 'file')
    return missing(
      path,
      `${model} is a file; a model is a folder.`,
      'Convert a .bin or .gguf file first: spinquant import FILE --out FOLDER.',
    );
  if (kind === null)
    return missing(
      path,
      `there is no folder ${model}.`,
      'Paths are relative to the folder of the experiment file.',
    );
  if ((await kindOf(resolve(model, 'config.json'))) !== 'file')
    return missing(
      path,
      `the folder ${model} has no config.json.`,
      'A model is a Hugging Face folder: config.json, *.safetensors, tokenizer.json.',
    );
  return null;
}

async function textFault(path: JsonPath, file: string): Promise<RuleFault | null> {
  const kind = await kindOf(file);
  if (kind === 'file') return wrongKind(path, file);
  const what = kind === 'folder' ? `${file} is a folder, not a text file.` : `there is no file ${file}.`;
  return missing(path, what, 'Paths are relative to the folder of the experiment file.');
}

/** What a folder of questions holds is looked at by whoever reads them. */
async function dataFault(path: JsonPath, data: string): Promise<RuleFault | null> {
  const kind = await kindOf(data);
  if (kind !== null) return kind === 'file' ? wrongKind(path, data) : null;
  return missing(
    path,
    `there is no file or folder ${data}.`,
    'Paths are relative to the folder of the experiment file.',
  );
}

/** A file that is plainly no text, or that cannot be read. */
function wrongKind(path: JsonPath, file: string): RuleFault | null {
  try {
    const fault = kindFault(file, 'text');
    return fault && asFault(path, fault);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return asFault(path, error);
  }
}

/** In the same words as where the file is read later, so that the two are one fault. */
function asFault(path: JsonPath, { code, message, hint }: UserError): RuleFault {
  return { severity: 'error', code, path, message, hint };
}

async function runsFault(path: JsonPath, folder: string): Promise<RuleFault | null> {
  if ((await kindOf(folder)) !== 'file') return null;
  return missing(path, `${folder} is a file; runs are written to a folder.`, 'Name another folder, or none.');
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

/** Writes a path as a person in this folder would. */
export function relativeToHere(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith('..') ? file : path;
}
