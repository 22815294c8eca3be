/** The file of a task's questions in a folder. */
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { TaskDescriptor } from '../../../config/index.ts';
import { reading } from '../../../disk/faults.ts';
import { UserError } from '../../../protocol/errors.ts';
import { ROW_READERS } from './read-rows.ts';

/** Names that files of a part have. */
const SPLIT_NAMES = {
  validation: /(^|[^a-z])(valid(ation)?|val|dev)([^a-z]|$)/i,
  test: /(^|[^a-z])test([^a-z]|$)/i,
};

/** LLM-Adapters name the part that they ask about `test`, whichever it is. */
const ADAPTERS = /(^|[^a-z])test\.json$/i;

/**
 * Returns the file of the task's published part.
 * @param data a file, a folder with it, or with `isAround` the folder around the task's own.
 * @throws UserError `tasks/no-data` with what was looked for.
 */
export async function findTaskFile(task: TaskDescriptor, data: string, isAround: boolean): Promise<string> {
  if (isAround) return inFolder(task, await folderIn(data, task));
  const stats = await reading(data, () => stat(data));
  return stats.isDirectory() ? inFolder(task, data) : data;
}

async function folderIn(around: string, { title, folders }: TaskDescriptor): Promise<string> {
  const names = await reading(around, () => readdir(around));
  const found = names.find((name) => folders.some((one) => one.toLowerCase() === name.toLowerCase()));
  if (found !== undefined) return join(around, found);
  throw new UserError(
    'tasks/no-data',
    `${around} has no folder ${folders[0]} with the questions of ${title}.`,
    'Put the data set there, or name only the tasks whose data sets you have.',
  );
}

async function inFolder({ title, split }: TaskDescriptor, folder: string): Promise<string> {
  const names = (await reading(folder, () => readdir(folder))).sort();
  const readable = names.filter((name) => ROW_READERS.has(extname(name).toLowerCase()));
  const ofSplit = readable.filter((name) => SPLIT_NAMES[split].test(name));
  const found = preferred(ofSplit) ?? preferred(readable.filter((name) => ADAPTERS.test(name)));
  const only = readable.length === 1 ? readable[0] : undefined;
  const name = found ?? only;
  if (name !== undefined) return join(folder, name);
  throw new UserError(
    'tasks/no-data',
    `${folder} has no file of the ${split} part of ${title}; it has ${names.length === 0 ? 'nothing' : names.slice(0, 8).join(', ')}.`,
    `Name the file itself, or put it there as ${split}.jsonl (${[...ROW_READERS.keys()].join(', ')} are read).`,
  );
}

/** The kind that is read first. */
function preferred(names: readonly string[]): string | undefined {
  for (const kind of ROW_READERS.keys()) {
    const found = names.find((name) => extname(name).toLowerCase() === kind);
    if (found !== undefined) return found;
  }
  return undefined;
}
