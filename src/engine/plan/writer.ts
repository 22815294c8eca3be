import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { resolveModel } from '../../hub/locate.ts';
import { parseModelName } from '../../hub/names.ts';
import { UserError } from '../../protocol/errors.ts';
import { isRunFolder } from '../../runs/index.ts';

/** A model folder or a name on the Hub, at full precision; or a run folder, as it quantizes. */
export type Writer = { readonly model: string } | { readonly run: string };

const HINT =
  'Name a model folder, a model on the Hub (ORG/NAME), a run folder, or the name of a run of this folder (`spinquant runs` lists them).';

/**
 * What a person names: a run by its folder, or by its name in a folder of runs; or else a model.
 * @param runs the folder of runs.
 * @throws UserError `generate/no-writer`.
 */
export function findWriter(named: string, runs: string): Writer {
  if (existsSync(named)) return atPath(named);
  const run = join(runs, named);
  if (isRunFolder(run)) return { run };
  // A name whose first part is a folder here is a path, and nothing is there.
  const model = parseModelName(named) === null ? null : resolveModel(process.cwd(), named);
  if (model === named) return { model };
  throw new UserError(
    'generate/no-writer',
    `There is no ${named}, and no run of that name in ${runs}.`,
    HINT,
  );
}

function atPath(path: string): Writer {
  if (isRunFolder(path)) return { run: path };
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
