import { createHash } from 'node:crypto';
import { experimentText } from '../experiments/files.ts';
import type { JobRequest } from '../services.ts';

/** A hash of an experiment's text: the queue knows by it what it was asked for already. */
export function contentsOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The same of a file; nothing where it cannot be read. */
export async function contentsOf(file: string): Promise<Pick<JobRequest, 'contents'>> {
  try {
    return { contents: contentsOfText(await experimentText(file)) };
  } catch {
    return {}; // The worker says what is wrong with it.
  }
}
