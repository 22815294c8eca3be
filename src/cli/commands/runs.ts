import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { resolveExperiment } from '../../config/index.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import { listRuns, type ResultsFile, type Run } from '../../runs/index.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';

export async function runs(path: string, output: Output): Promise<undefined> {
  const folder = await runsFolder(path);
  const list = await listRuns(folder);
  const rows = await Promise.all(list.runs.map(async (run) => ({ run, results: await resultsOf(run) })));
  output.document({
    folder,
    runs: rows.map(({ run, results }) => ({ dir: run.dir, ...run.record, results })),
    damaged: list.damaged.map(({ dir, error }) => ({ dir, message: messageOf(error) })),
  });
  for (const { dir, error } of list.damaged) output.note(`Damaged: ${dir}: ${messageOf(error)}`);
  if (rows.length === 0)
    output.result(`There are no runs in ${resolve(folder)}. Name an experiment file, or its folder.`);
  else output.result(table(rows));
}

/** The path is a runs folder itself, the folder of an experiment, or an experiment file. */
async function runsFolder(path: string): Promise<string> {
  if (!existsSync(path))
    throw new UserError('cli/no-folder', `There is no ${path}.`, 'Name a folder or an experiment file.');
  if (!statSync(path).isDirectory()) return (await resolveExperiment(path)).runs;
  const below = join(path, '.spinquant', 'runs');
  return existsSync(below) ? below : path;
}

async function resultsOf(run: Run): Promise<ResultsFile | null> {
  return existsSync(run.path('results')) ? run.readResults() : null;
}

function table(rows: readonly { run: Run; results: ResultsFile | null }[]): string {
  return formatTable(
    ['run', 'status', 'setting', 'loss', 'perplexity'],
    rows.map(({ run, results }) => [
      run.record.id,
      run.record.status,
      run.record.bits,
      results?.loss ? `${results.loss.first.toFixed(3)} → ${results.loss.last.toFixed(3)}` : '–',
      results?.perplexity
        .map(
          ({ name, quantized, fullPrecision }) =>
            `${name} ${formatPerplexity(quantized)} (${formatPerplexity(fullPrecision)})`,
        )
        .join(', ') || '–',
    ]),
    ['left', 'left', 'left', 'left', 'left'],
  );
}
