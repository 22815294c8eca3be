/** This file lists the zero-shot tasks that an experiment can name, and describes them for its schema and for tables. */
import { z } from 'zod';
import { nearestName } from '../nearest.ts';

/** Experiments, tables and panels know this about a task. Its questions are made in `engine/evaluate/tasks/readers`. */
export interface TaskDescriptor<Name extends string = string> {
  /** The name in an experiment, as in lm-evaluation-harness. */
  readonly name: Name;
  /** The name in tables and panels. */
  readonly title: string;
  /** Names of its folder inside one that holds all tasks. */
  readonly folders: readonly string[];
  /** The part of the data set whose answers are published, and which papers report. */
  readonly split: 'validation' | 'test';
  /** The number of questions in that part. */
  readonly questions: number;
  /** True where the likelihood of a choice is also divided by its length in bytes; the mean then takes that one. */
  readonly normalizes: boolean;
  readonly paper: { readonly authors: string; readonly arxiv: string };
}

/** All tasks, in the order of the papers' tables. Together they have 22,419 questions. */
const REGISTRY = [
  {
    name: 'boolq',
    title: 'BoolQ',
    folders: ['boolq'],
    split: 'validation',
    questions: 3270,
    normalizes: false,
    paper: { authors: 'Clark et al. 2019', arxiv: '1905.10044' },
  },
  {
    name: 'piqa',
    title: 'PIQA',
    folders: ['piqa'],
    split: 'validation',
    questions: 1838,
    normalizes: true,
    paper: { authors: 'Bisk et al. 2020', arxiv: '1911.11641' },
  },
  {
    name: 'social_iqa',
    title: 'SIQA',
    folders: ['social_iqa', 'social_i_qa', 'socialiqa'],
    split: 'validation',
    questions: 1954,
    normalizes: false,
    paper: { authors: 'Sap et al. 2019', arxiv: '1904.09728' },
  },
  {
    name: 'hellaswag',
    title: 'HellaSwag',
    folders: ['hellaswag'],
    split: 'validation',
    questions: 10042,
    normalizes: true,
    paper: { authors: 'Zellers et al. 2019', arxiv: '1905.07830' },
  },
  {
    name: 'winogrande',
    title: 'WinoGrande',
    folders: ['winogrande'],
    split: 'validation',
    questions: 1267,
    normalizes: false,
    paper: { authors: 'Sakaguchi et al. 2020', arxiv: '1907.10641' },
  },
  {
    name: 'arc_easy',
    title: 'ARC-e',
    folders: ['arc_easy', 'ARC-Easy'],
    split: 'test',
    questions: 2376,
    normalizes: true,
    paper: { authors: 'Clark et al. 2018', arxiv: '1803.05457' },
  },
  {
    name: 'arc_challenge',
    title: 'ARC-c',
    folders: ['arc_challenge', 'ARC-Challenge'],
    split: 'test',
    questions: 1172,
    normalizes: true,
    paper: { authors: 'Clark et al. 2018', arxiv: '1803.05457' },
  },
  {
    name: 'openbookqa',
    title: 'OBQA',
    folders: ['openbookqa', 'obqa'],
    split: 'test',
    questions: 500,
    normalizes: true,
    paper: { authors: 'Mihaylov et al. 2018', arxiv: '1809.02789' },
  },
] as const satisfies readonly TaskDescriptor[];

export type TaskName = (typeof REGISTRY)[number]['name'];

export const TASKS: readonly TaskDescriptor<TaskName>[] = REGISTRY;

/** In the place of a name, this stands for all eight, each in its folder. */
export const ALL_TASKS = 'all';

/** @throws Error for a name that no experiment can hold. */
export function taskNamed(name: string): TaskDescriptor<TaskName> {
  const found = TASKS.find((task) => task.name === name);
  if (found) return found;
  throw new Error(`there is no task ${name}`);
}

/**
 * Returns the task that people mean by a name that is none: `siqa`, `ARC-e`, `hella_swag`; null where nobody can tell.
 * @param path of a value in an experiment, which may be another.
 */
export function nearestTask(path: readonly (string | number)[], written: unknown): TaskName | null {
  const isTask = path[0] === 'evaluation' && path[1] === 'tasks' && path.at(-1) === 'task';
  if (!isTask || typeof written !== 'string') return null;
  const bare = (name: string): string => name.toLowerCase().replace(/[^a-z]/g, '');
  const wanted = bare(written);
  const found = TASKS.find(({ name, title, folders }) =>
    [name, title, ...folders].some((known) => bare(known) === wanted),
  );
  if (found) return found.name;
  const near = nearestName(
    wanted,
    TASKS.map(({ name }) => bare(name)),
  );
  return TASKS.find(({ name }) => bare(name) === near)?.name ?? null;
}

/** Returns the name for tables. A name from another version's run that this one does not know stays as it is. */
export function taskTitle(name: string): string {
  return TASKS.find((task) => task.name === name)?.title ?? name;
}

export function taskNameSchema() {
  const names = TASKS.map(({ name }) => name);
  return z.enum([...names, ALL_TASKS] as [TaskName, ...TaskName[], typeof ALL_TASKS]);
}
