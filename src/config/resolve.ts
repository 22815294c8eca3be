import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { reading } from '../disk/faults.ts';
import { expectKind } from '../disk/file-kind.ts';
import { resolveModel, resolveText } from '../hub/locate.ts';
import { ExperimentError, type Fault, type JsonPath, type RuleFault, uniqueFaults } from './faults.ts';
import { dataFault, modelFault, runsFault, textFault } from './missing-files.ts';
import { type ParsedExperiment, parseExperiment, type Reading } from './parse.ts';
import type { Experiment } from './schema.ts';
import { withPath } from './schema-text.ts';
import { learnsOnText, sharedTextFaults } from './shared-texts.ts';
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

/**
 * A validated experiment. Its paths (model, texts, runs) are absolute and exist; only runs may not exist yet. A model or
 * text on the Hub keeps its name.
 */
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
  const shared = parsed.readings.flatMap((reading) => textsOfBoth(reading, directory, purpose));
  const faults = uniqueFaults([...parsed.faults, ...missing.flat(), ...shared]);
  if (!parsed.experiment || faults.some((fault) => fault.severity === 'error'))
    return { experiment: null, faults, parsed };
  const absolute = absolutePaths(parsed.experiment, directory);
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
  const portable = (path: string): string =>
    isAbsolute(path) ? relative(source.directory, path).split(sep).join('/') || '.' : path;
  return mapPaths(settings, { model: portable, text: portable, folder: portable });
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
    ...absolutePaths(experiment, directory),
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

function absolutePaths(experiment: Experiment, directory: string): Experiment {
  return mapPaths(experiment, {
    model: (path) => resolveModel(directory, path),
    text: (path) => resolveText(directory, path),
    folder: (path) => resolve(directory, path),
  });
}

type PathMap = Readonly<Record<'model' | 'text' | 'folder', (path: string) => string>>;

function mapPaths(experiment: Experiment, { model, text, folder }: PathMap): Experiment {
  const { calibration, evaluation } = experiment;
  return {
    ...experiment,
    model: model(experiment.model),
    calibration: { ...calibration, text: calibration.text.map((source) => withPath(source, text)) },
    evaluation: {
      ...evaluation,
      perplexity: evaluation.perplexity.map((task) => ({ ...task, text: withPath(task.text, text) })),
      tasks: evaluation.tasks.map((task) => ({ ...task, data: folder(task.data) })),
    },
    runs: folder(experiment.runs),
  };
}

/** Returns faults for named files and folders that are missing or of the wrong kind. */
async function missingFiles(reading: Reading, directory: string): Promise<Fault[]> {
  const { ask } = reading;
  const texts = range(ask(({ calibration }) => calibration.text.length));
  const measured = range(ask(({ evaluation }) => evaluation.perplexity.length));
  const tasks = range(ask(({ evaluation }) => evaluation.tasks.length));
  const checks: (Promise<RuleFault | null> | null | undefined)[] = [
    ask(({ model }) => modelFault(['model'], resolveModel(directory, model))),
    ...texts.map((index) =>
      ask(({ calibration }) =>
        textFault(calibrationPath(reading, index), withPath(calibration.text[index]!, absolute)),
      ),
    ),
    ...measured.map((index) =>
      ask(({ evaluation }) =>
        textFault(
          ['evaluation', 'perplexity', index, 'text'],
          withPath(evaluation.perplexity[index]!.text, absolute),
        ),
      ),
    ),
    ...tasks.map((index) =>
      ask(({ evaluation }) =>
        dataFault(['evaluation', 'tasks', index, 'data'], resolve(directory, evaluation.tasks[index]!.data)),
      ),
    ),
    ask(({ runs }) => runsFault(['runs'], resolve(directory, runs))),
  ];
  function absolute(path: string): string {
    return resolveText(directory, path);
  }
  const faults = await Promise.all(checks);
  return faults.filter((fault) => fault !== null && fault !== undefined).map((fault) => reading.place(fault));
}

/** Warnings for texts that are learned on and measured on. Rows of a matrix may read what the experiment itself does not. */
function textsOfBoth({ ask, place }: Reading, directory: string, purpose: Purpose): Fault[] {
  if (purpose === 'inspect') return [];
  const absolute = (path: string) => resolveText(directory, path);
  const found = ask((experiment) => {
    if (experiment.matrix === undefined && !learnsOnText(experiment)) return [];
    const { calibration, evaluation } = experiment;
    const resolved = {
      calibration: { ...calibration, text: calibration.text.map((text) => withPath(text, absolute)) },
      evaluation: {
        ...evaluation,
        perplexity: evaluation.perplexity.map((task) => ({ ...task, text: withPath(task.text, absolute) })),
      },
    };
    return sharedTextFaults(resolved, experiment);
  });
  return found?.map(place) ?? [];
}

/** A single text may stand without a list around it. */
export function calibrationPath({ isWritten }: Reading, index: number): JsonPath {
  const path = ['calibration', 'text', index];
  return isWritten(path) ? path : path.slice(0, -1);
}

const range = (length = 0): number[] => Array.from({ length }, (_, index) => index);

/** Writes a path as a person in this folder would. */
export function relativeToHere(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith('..') ? file : path;
}
