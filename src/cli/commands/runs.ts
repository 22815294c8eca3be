import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ExperimentError, parseExperiment, readExperimentText, relativeToHere } from '../../config/index.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import { listRuns, type ResultsFile, type Run } from '../../runs/index.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';

/** A run with its results, or the reason why these cannot be read. */
interface Row {
  readonly run: Run;
  readonly results: ResultsFile | null;
  readonly problem: string | null;
}

export async function runs(path: string, output: Output): Promise<undefined> {
  const folder = await runsFolder(path);
  const list = await listRuns(folder);
  const rows = await Promise.all(list.runs.map(rowOf));
  const text =
    rows.length === 0
      ? `There are no runs in ${resolve(folder)}. Name an experiment file, or its folder.`
      : table(rows);
  for (const { dir, error } of list.damaged) output.note(`Damaged: ${dir}: ${messageOf(error)}`);
  for (const { problem } of rows) if (problem !== null) output.note(`Damaged: ${problem}`);
  output.document({
    folder,
    runs: rows.map(({ run, results, problem }) => ({ dir: run.dir, ...run.record, results, problem })),
    damaged: list.damaged.map(({ dir, error }) => ({ dir, message: messageOf(error) })),
  });
  output.result(text);
}

/** The path is a runs folder itself, the folder of an experiment, or an experiment file. */
export async function runsFolder(path: string): Promise<string> {
  if (!existsSync(path))
    throw new UserError('cli/no-folder', `There is no ${path}.`, 'Name a folder or an experiment file.');
  if (!statSync(path).isDirectory()) return runsOfExperiment(path);
  const below = join(path, '.spinquant', 'runs');
  return existsSync(below) ? below : path;
}

/** The texts and the model may be gone: what was run is listed all the same. */
async function runsOfExperiment(path: string): Promise<string> {
  const file = resolve(path);
  const { readings, faults } = parseExperiment(await readExperimentText(file), file);
  const folder = readings[0]?.ask(({ runs }) => runs);
  if (folder === undefined) throw new ExperimentError(relativeToHere(file), faults);
  return resolve(dirname(file), folder);
}

/** One damaged file must not hide the other runs. */
async function rowOf(run: Run): Promise<Row> {
  if (!existsSync(run.path('results'))) return { run, results: null, problem: null };
  try {
    return { run, results: await run.readResults(), problem: null };
  } catch (error) {
    return { run, results: null, problem: messageOf(error) };
  }
}

function table(rows: readonly Row[]): string {
  return formatTable(
    ['run', 'status', 'setting', 'loss', 'perplexity'],
    rows.map(({ run, results, problem }) => [
      run.record.id,
      run.record.status,
      run.record.bits,
      results?.loss ? `${results.loss.first.toFixed(3)} → ${results.loss.last.toFixed(3)}` : '–',
      results?.perplexity
        .map(
          ({ name, quantized, fullPrecision }) =>
            `${name} ${formatPerplexity(quantized)} (${formatPerplexity(fullPrecision)})`,
        )
        .join(', ') || (problem === null ? '–' : 'results.json is damaged'),
    ]),
    ['left', 'left', 'left', 'left', 'left'],
  );
}
