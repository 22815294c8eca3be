import type { SharedResult } from '../../engine/index.ts';
import { formatBytes, formatCount } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';
import { runsFolder } from './runs.ts';

/** Lists shared results that no run uses any more, and deletes them where that is asked for. */
export async function sweep(
  path: string,
  { delete: deletes = false }: { readonly delete?: boolean },
  output: Output,
): Promise<undefined> {
  const folder = await runsFolder(path);
  const engine = await loadEngine();
  const { results, unknown } = deletes ? await engine.sweepShared(folder) : await engine.listShared(folder);
  const unused = results.filter(({ usedBy }) => usedBy === 0);
  output.document({ folder, deleted: deletes, results, unknown });
  const parts = [usedText(results), ...(unused.length > 0 ? [unusedTable(unused), ''] : [])];
  output.result([...parts, verdict(unused, unknown, deletes)].join('\n'));
}

function usedText(results: readonly SharedResult[]): string {
  const used = results.filter(({ usedBy }) => usedBy > 0);
  return `${formatCount(used.length, 'shared result')} ${used.length === 1 ? 'is' : 'are'} used by runs, ${formatBytes(sizeOf(used))}.`;
}

/** Results of one step in one line. */
function unusedTable(unused: readonly SharedResult[]): string {
  const names = [...new Set(unused.map(nameOf))];
  const rows = names.map((name) => {
    const alike = unused.filter((result) => nameOf(result) === name);
    return [name, String(alike.length), formatBytes(sizeOf(alike))];
  });
  return formatTable(['used by no run', 'results', 'size'], rows, ['left', 'right', 'right']);
}

const nameOf = ({ step, isFresh }: SharedResult): string =>
  `${step ?? 'unfinished'}${isFresh ? ', written to within the hour: stays' : ''}`;

function verdict(unused: readonly SharedResult[], unknown: readonly string[], deletes: boolean): string {
  const free = unused.filter(({ isFresh }) => !isFresh);
  if (deletes) return `Deleted ${formatCount(free.length, 'result')}, ${formatBytes(sizeOf(free))}.`;
  if (unknown.length > 0)
    return [
      'Nothing can be deleted: nobody can tell what these runs use. They are damaged, or of an earlier version.',
      ...unknown.map((run) => `  ${run}`),
    ].join('\n');
  if (free.length === 0) return 'There is nothing to delete.';
  return `--delete deletes ${formatCount(free.length, 'result')}, ${formatBytes(sizeOf(free))}. A table that wants one again computes it.`;
}

const sizeOf = (results: readonly SharedResult[]): number =>
  results.reduce((sum, { bytes }) => sum + bytes, 0);
