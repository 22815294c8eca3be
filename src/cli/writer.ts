import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Writer } from '../engine/index.ts';
import { resolveModel } from '../hub/locate.ts';
import { parseModelName } from '../hub/names.ts';
import { UserError } from '../protocol/errors.ts';
import { RUN_FILES } from '../runs/index.ts';
import { runsFolder } from './commands/runs.ts';

const HINT =
  'Name a model folder, a model on the Hub (ORG/NAME), a run folder, or the name of a run of this folder (`spinquant runs` lists them).';

/**
 * What a person names: a run by its folder, or by its name among the runs of this folder; or else a model.
 * @param folder whose runs have names.
 * @throws UserError `generate/no-writer`.
 */
export async function writerNamed(named: string, folder = '.'): Promise<Writer> {
  if (existsSync(named)) return atPath(named);
  const run = join(await runsFolder(folder), named);
  if (isRun(run)) return { run };
  if (parseModelName(named) !== null) return { model: resolveModel(process.cwd(), named) };
  throw new UserError('generate/no-writer', `There is no ${named}, and no run of that name here.`, HINT);
}

function atPath(path: string): Writer {
  if (isRun(path)) return { run: path };
  if (statSync(path).isDirectory()) return { model: resolveModel(process.cwd(), path) };
  throw new UserError(
    'generate/no-writer',
    `${path} is a file, neither a model folder nor a run folder.`,
    hintFor(path),
  );
}

function hintFor(file: string): string {
  if (/\.(gguf|bin)$/i.test(file)) return `Import it first: spinquant import ${file}`;
  return file.endsWith('.json') ? 'Name the run folder of the experiment, or its model folder.' : HINT;
}

const isRun = (folder: string): boolean => existsSync(join(folder, RUN_FILES.run));
