/** The names of runs. Knows nothing of the editor. */

import { basename } from 'node:path';
import type { RunName, Translate } from '../../protocol/panels/common.ts';
import { cellName } from '../../protocol/panels/words.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import type { Run } from '../../runs/index.ts';
import type { RunAnnotation } from '../services.ts';

/** `quick` of `/…/quick.spinquant.json`. */
export function experimentName(file: string): string {
  return basename(file).replace(/\.spinquant\.json$/i, '');
}

/** In what words and times are written. */
export interface Language {
  readonly locale: string;
  readonly t: Translate;
}

/** The one name of a run in views, panels and messages: the person's, else one that tells it from all others. */
export function runName(run: Run, { name }: Pick<RunAnnotation, 'name'>, language: Language): RunName {
  const { startedAt, bits } = run.record;
  const cell = tableCell(run.record);
  const chosen = name ?? ladderOf(run, language)[0];
  // The name of a cell says its bits, as papers write them.
  const title = chosen.includes(cell?.bits ?? bits) ? chosen : `${chosen} · ${bits}`;
  return { dir: run.dir, name: chosen, title, bits, startedAt };
}

/**
 * Names of a run, each of which tells more than the one before: `quick 21 Nov, 19:45`, then with seconds. A cell of a
 * table is `SpinQuant had + GPTQ · 4-4-4 · seed 1`, then with its experiment, then with the time.
 */
function ladderOf(run: Run, { locale, t }: Language): readonly [string, ...string[]] {
  const { startedAt } = run.record;
  const cell = tableCell(run.record);
  const experiment = experimentName(run.experimentFile);
  const minute = `${experiment} ${shortTime(startedAt, locale)}`;
  const second = `${experiment} ${shortTime(startedAt, locale, true)}`;
  if (cell === null) return [minute, second];
  const name = cellName(cell, t);
  return [name, `${name} · ${experiment}`, `${name} · ${minute}`, `${name} · ${second}`];
}

/** `21 Nov, 19:45` in the person's language and time zone. */
function shortTime(iso: string, locale: string, withSeconds = false): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return new Intl.DateTimeFormat(locale, {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    ...(withSeconds && { second: '2-digit' }),
    hourCycle: 'h23',
  }).format(time);
}

/**
 * Names for runs that would have the same one. Each tells as much as it takes to tell them apart, in the end a number.
 * @returns by run folder; runs whose usual name is enough are not in it.
 */
export function distinctNames(runs: readonly Run[], language: Language): Map<string, string> {
  const names = new Map<string, string>();
  const tellApart = (alike: readonly Run[], rung: number) => {
    const nameOf = (run: Run) => ladderOf(run, language)[rung];
    for (const [name, group] of groups(alike, nameOf)) {
      if (name === undefined) number(group, rung - 1);
      else if (group.length > 1) tellApart(group, rung + 1);
      else if (rung > 0) names.set(group[0]!.dir, name);
    }
  };
  const number = (alike: readonly Run[], rung: number) => {
    for (const [index, run] of [...alike].sort(byAge).entries()) {
      const name = ladderOf(run, language)[rung]!;
      names.set(run.dir, index === 0 ? name : `${name} (${index + 1})`);
    }
  };
  tellApart(runs, 0);
  return names;
}

const age = ({ record }: Run) => `${record.startedAt} ${record.id}`;
const byAge = (a: Run, b: Run) => (age(a) < age(b) ? -1 : 1);

function groups<K>(runs: readonly Run[], key: (run: Run) => K): Map<K, Run[]> {
  const found = new Map<K, Run[]>();
  for (const run of runs) found.set(key(run), [...(found.get(key(run)) ?? []), run]);
  return found;
}
