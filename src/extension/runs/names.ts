/** Names runs where the person gave no name. Knows nothing of the editor. */
import { basename } from 'node:path';
import type { Run } from '../../runs/index.ts';

/** `21 Nov, 19:45` in the person's language and time zone. */
export function shortTime(iso: string, locale: string, withSeconds = false): string {
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

/** `quick 21 Nov, 19:45`. */
export function usualName(run: Run, locale: string, withSeconds = false): string {
  const experiment = basename(run.experimentFile).replace(/\.spinquant\.json$/i, '');
  return `${experiment} ${shortTime(run.record.startedAt, locale, withSeconds)}`;
}

/**
 * Names for the runs of one experiment that began in the same minute, which the usual name does not tell apart. They
 * have the seconds, and a number where even these are the same.
 * @param slug short name of an experiment file, by which panels call it: other files may share it.
 * @returns by run folder; runs whose usual name is enough are not in it.
 */
export function distinctNames(
  runs: readonly Run[],
  locale: string,
  slug: (experimentFile: string) => string,
): Map<string, string> {
  const names = new Map<string, string>();
  const minute = (run: Run) => `${slug(run.experimentFile)} ${run.record.startedAt.slice(0, 16)}`;
  for (const sameMinute of groups(runs, minute)) {
    if (sameMinute.length === 1) continue;
    const withSeconds = (run: Run) => usualName(run, locale, true);
    for (const sameSecond of groups(sameMinute, withSeconds))
      for (const [index, run] of sameSecond.sort(byAge).entries())
        names.set(run.dir, index === 0 ? withSeconds(run) : `${withSeconds(run)} (${index + 1})`);
  }
  return names;
}

const age = ({ record }: Run) => `${record.startedAt} ${record.id}`;
const byAge = (a: Run, b: Run) => (age(a) < age(b) ? -1 : 1);

function groups(runs: readonly Run[], key: (run: Run) => string): Run[][] {
  const found = new Map<string, Run[]>();
  for (const run of runs) found.set(key(run), [...(found.get(key(run)) ?? []), run]);
  return [...found.values()];
}
