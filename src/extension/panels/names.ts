import { basename } from 'node:path';
import type { Run } from '../../runs/index.ts';

/** The model's folder name; the experiment's word for it until the model is loaded. */
export function modelName(run: Run, fallback: string): string {
  return basename(run.record.provenance?.model.path ?? fallback);
}
