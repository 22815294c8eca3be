/** People's notes on runs: `.spinquant/labels.json`, beside the runs, one entry a run folder's name. */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { loadRuns } from '../lazy.ts';
import type { RunAnnotation } from '../services.ts';

export const NO_ANNOTATION: RunAnnotation = { name: null, label: null, starred: false };

interface LabelsFile {
  readonly version: 1;
  readonly runs: Readonly<Record<string, Partial<RunAnnotation>>>;
}

/** Beside a folder `.spinquant/runs`; inside a runs folder of any other place, which may stand among other things. */
export function labelsPath(runsFolder: string): string {
  const parent = dirname(runsFolder);
  return join(basename(parent) === '.spinquant' ? parent : runsFolder, 'labels.json');
}

export function readAnnotation(runDir: string): RunAnnotation {
  return { ...NO_ANNOTATION, ...readLabels(labelsPath(dirname(runDir))).runs[basename(runDir)] };
}

/** Writes a change; an annotation that became empty is taken out. */
export async function writeAnnotation(runDir: string, change: Partial<RunAnnotation> | null): Promise<void> {
  const path = labelsPath(dirname(runDir));
  const labels = readLabels(path);
  const { [basename(runDir)]: before, ...others } = labels.runs;
  const next = change === null ? NO_ANNOTATION : { ...NO_ANNOTATION, ...before, ...change };
  const isEmpty = next.name === null && next.label === null && !next.starred;
  if (isEmpty && before === undefined) return;
  const runs = isEmpty ? others : { ...others, [basename(runDir)]: next };
  (await loadRuns()).writeJson(path, { version: 1, runs } satisfies LabelsFile);
}

/** @throws UserError `runs/labels` when the file is there and is not ours: it must not be written over. */
function readLabels(path: string): LabelsFile {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { version: 1, runs: {} };
  const key = `${path} ${stat.mtimeMs} ${stat.size}`;
  if (last?.key === key) return last.file;
  const file = parseLabels(path);
  last = { key, file };
  return file;
}

/** The file last read: every run of a long list asks for its note. */
let last: { readonly key: string; readonly file: LabelsFile } | null = null;

function parseLabels(path: string): LabelsFile {
  let problem = 'it has no "version": 1';
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<LabelsFile> | null;
    if (value?.version === 1 && typeof value.runs === 'object') return value as LabelsFile;
  } catch (error) {
    problem = messageOf(error);
  }
  throw new UserError(
    'runs/labels',
    `${path} cannot be read: ${problem}.`,
    'Mend or delete it: it holds the names and stars of runs.',
  );
}
