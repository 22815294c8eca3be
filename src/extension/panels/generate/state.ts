import type { TextJudgement } from '../../../protocol/comparison.ts';
import type { Problem, RunName } from '../../../protocol/panels/common.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import type {
  GenerateColumn,
  GenerateMemory,
  GenerateState,
  Summary,
} from '../../../protocol/panels/generate.ts';
import type { GenerateStrings } from '../../../protocol/panels/generate-strings.ts';
import type { Run } from '../../../runs/index.ts';
import { finite } from '../finite.ts';
import type { Activity, ComparedColumn, Comparison } from './comparison.ts';

export interface GenerateInput {
  readonly strings: GenerateStrings;
  readonly memory: GenerateMemory;
  readonly hasRuns: boolean;
  readonly chosen: readonly RunName[];
  /** Null before the first. */
  readonly comparison: Comparison | null;
  /** Names of its runs. */
  readonly names: readonly RunName[];
  /** Folders of runs without any rotation. */
  readonly unrotated: ReadonlySet<string>;
  readonly running: boolean;
  readonly problem: Problem | null;
}

/** The complete state of the panel. */
export function generateState({
  strings,
  memory,
  hasRuns,
  chosen,
  comparison,
  names,
  unrotated,
  running,
  problem,
}: GenerateInput): GenerateState {
  const titles = [strings.fullPrecision, ...names.map(({ name }) => name)];
  const text = comparison?.columns[0]?.text ?? '';
  return {
    strings,
    remembered: memory,
    hasRuns,
    chosen,
    prompt: comparison?.prompt ?? '',
    columns: (comparison?.columns ?? []).map((column, place) => {
      const run = names[place - 1] ?? null;
      const about = run !== null && unrotated.has(run.dir) ? strings.noRotation : null;
      return columnState(column, { run, about, name: titles[place]!, text });
    }),
    tokens: comparison?.columns[0]?.written ?? [],
    running,
    activity: running && comparison ? activityText(comparison.activity, titles, strings) : '',
    done: comparison?.done ?? 0,
    problem,
  };
}

interface Place {
  readonly run: RunName | null;
  /** What stands behind its bits. */
  readonly about: string | null;
  readonly name: string;
  /** At full precision. */
  readonly text: string;
}

function columnState(column: ComparedColumn, { run, about, name, text }: Place): GenerateColumn {
  const { status, tokensPerSecond, bytes, judged, summary, problem } = column;
  return {
    run: run?.dir ?? null,
    name,
    title: run?.title ?? name,
    bits: [column.bits || (run?.bits ?? ''), about].filter(Boolean).join(' · '),
    status,
    text: column.text,
    same: sharedLength(column.text, text),
    tokens: column.written.length,
    tokensPerSecond,
    bytes,
    judged,
    summary: summary && finiteSummary(summary),
    problem,
  };
}

function finiteSummary({ tokens, perplexity, meanDifference, meanDivergence }: TextJudgement): Summary {
  return {
    tokens,
    perplexity: finite(perplexity),
    meanDifference: finite(meanDifference),
    meanDivergence: finite(meanDivergence),
  };
}

/** What a column is called whose run is gone. @param last the name that the run had. */
export function deletedName(last: RunName, { absent }: Pick<GenerateStrings, 'absent'>): RunName {
  const name = fill(absent.deleted, last.name);
  return { ...last, name, title: name };
}

/** UTF-16 units that two texts begin with, whole characters only. */
export function sharedLength(a: string, b: string): number {
  let shared = 0;
  for (const character of a) {
    if (!b.startsWith(character, shared)) break;
    shared += character.length;
  }
  return shared;
}

export function activityText(
  activity: Activity,
  titles: readonly string[],
  strings: GenerateStrings,
): string {
  const name = titles[activity.column] ?? '';
  if (activity.doing === 'starting') return fill(strings.starting, name);
  if (activity.doing === 'phase') return fill(strings.doing, name, strings.phases[activity.phase]);
  return fill(strings[activity.doing], name, activity.token, activity.of);
}

/** Runs that may be compared beside others: not at work, and of their model as far as that is known. */
export function comparable(runs: readonly Run[], chosen: readonly string[]): Run[] {
  const modelOf = (run: Run | undefined): string | null => run?.record.provenance?.model.path ?? null;
  const models = chosen.map((dir) => modelOf(runs.find((run) => run.dir === dir)));
  const model = models.find((path) => path !== null) ?? null;
  return runs.filter((run) => {
    const own = modelOf(run);
    const fits = model === null || own === null || own === model;
    return run.record.status !== 'running' && !chosen.includes(run.dir) && fits;
  });
}
