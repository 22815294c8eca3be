/** Zero-shot tasks whose files are missing, torn, or not those of the task. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Purpose, type Reading, type RuleFault, tasksOfEntry } from '../../../config/index.ts';
import { UserError } from '../../../protocol/errors.ts';
import { readQuestions } from '../../evaluate/tasks/read-questions.ts';

/** While a file is edited, so many questions show whether it is the right one. */
const WHILE_EDITED = 20;

/**
 * Reads the questions that a job would ask; each fault stands at the data of its entry. What is not there at all is the
 * experiment's own fault.
 */
export async function taskFaults(
  { ask }: Reading,
  directory: string,
  purpose: Purpose,
): Promise<RuleFault[]> {
  if (purpose === 'inspect') return [];
  const entries = ask(({ evaluation }) => evaluation.tasks.length) ?? 0;
  const faults: RuleFault[] = [];
  for (let index = 0; index < entries; index++) {
    const asked = ask(({ evaluation }) => {
      const { task, data, limit } = evaluation.tasks[index]!;
      return tasksOfEntry({ task, data: resolve(directory, data), limit }, index);
    });
    for (const one of asked ?? []) {
      if (!existsSync(one.data)) continue;
      const limit = purpose === 'edit' ? Math.min(one.limit ?? WHILE_EDITED, WHILE_EDITED) : one.limit;
      const fault = await faultOf(() => readQuestions({ ...one, limit }));
      if (fault) faults.push({ ...fault, path: ['evaluation', 'tasks', index, 'data'] });
    }
  }
  return faults;
}

async function faultOf(work: () => Promise<unknown>): Promise<Omit<RuleFault, 'path'> | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { severity: 'error', code: error.code, message: error.message, hint: error.hint };
  }
}
