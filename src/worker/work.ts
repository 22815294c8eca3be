/** Work that makes no run: what a request asks for, in terms of the engine. */
import {
  estimateText,
  exportCheckpoint,
  exportModel,
  fetchNamed,
  importModel,
  planExport,
} from '../engine/index.ts';
import type { RunEvent } from '../protocol/events.ts';
import { folderCheckInWords } from '../protocol/export-plan.ts';
import type { WorkerRequests } from '../protocol/worker.ts';
import { withOverrides } from './overrides.ts';

export type WorkMethod =
  | 'exportModel'
  | 'planExport'
  | 'exportCheckpoint'
  | 'importModel'
  | 'download'
  | 'estimate';

type Work<M extends WorkMethod> = (
  params: WorkerRequests[M]['params'],
  signal: AbortSignal,
) => AsyncGenerator<RunEvent, WorkerRequests[M]['result']>;

export const WORK: { readonly [M in WorkMethod]: Work<M> } = {
  async *exportModel({ run, job: _, ...request }, signal) {
    const { files, notes, check } = yield* exportModel({ ...request, from: { run } }, { signal });
    const found = check === null ? [] : [folderCheckInWords(check)];
    return { bytes: bytesOf(files), notes: [...notes, ...found] };
  },
  async *planExport({ run, settings, measure }, signal) {
    const plan = yield* planExport({ settings, measure, from: { run } }, { signal });
    return { rows: plan.rows, measured: plan.measured, recorded: plan.recorded };
  },
  async *exportCheckpoint({ run, settings, out }, signal) {
    const { files, check } = yield* exportCheckpoint({ settings, out, from: { run } }, { signal });
    const measured =
      check &&
      `Perplexity on ${check.tokens} tokens of ${check.text}, read back: ${check.readBack.toPrecision(5)}.`;
    return { bytes: bytesOf(files), notes: measured === null ? [] : [measured] };
  },
  async *importModel({ source, tokenizer, out }, signal) {
    return yield* importModel({ source, tokenizer: tokenizer ?? undefined, out }, signal);
  },
  async *download({ name }, signal) {
    return { files: yield* fetchNamed(name, null, signal) };
  },
  async *estimate({ text, file, overrides }, signal) {
    return yield* estimateText({ text, file }, (experiment) => withOverrides(experiment, overrides), {
      signal,
    });
  },
};

const bytesOf = (files: Readonly<Record<string, number>>): number =>
  Object.values(files).reduce((sum, size) => sum + size, 0);
