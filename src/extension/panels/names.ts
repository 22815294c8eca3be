import { basename } from 'node:path';
import { experimentSlug } from '../../config/index.ts';
import type { RunName } from '../../protocol/panels/common.ts';
import type { Run } from '../../runs/index.ts';
import { shortTime } from '../runs/names.ts';
import type { RunAnnotation } from '../services.ts';

/** The name of a run in pickers, legends and headings: the person's, or the experiment's with the time. */
export function runName(run: Run, annotation: RunAnnotation, locale: string): RunName {
  const { startedAt, bits } = run.record;
  const name = annotation.name ?? `${experimentSlug(run.experimentFile)} ${shortTime(startedAt, locale)}`;
  return { dir: run.dir, name, bits, startedAt };
}

/** The model's folder name; the experiment's word for it until the model is loaded. */
export function modelName(run: Run, fallback: string): string {
  return basename(run.record.provenance?.model.path ?? fallback);
}
