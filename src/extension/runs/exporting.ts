/** Exports by the worker: for the menu of a run and for language models. */
import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import type { WorkerRequests } from '../../protocol/worker.ts';
import type { Parts } from '../parts.ts';
import type { Exported } from './export-choices.ts';

export type ExportWork = 'exportModel' | 'planExport' | 'exportCheckpoint';

/** Whole models, whose table comes first. */
export type ExportedModel = Exclude<Exported, { kind: 'rotations' }>;

/** Shows that it is at work, until it ends or is stopped. */
export async function followed<M extends ExportWork>(
  { worker }: Parts,
  method: M,
  request: Omit<WorkerRequests[M]['params'], 'job'>,
  title: string,
  stop?: vscode.CancellationToken,
): Promise<WorkerRequests[M]['result']> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return vscode.window.withProgress(options, async (_progress, token) => {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const listeners = [token, stop].map((one) => one?.onCancellationRequested(abort));
    if (stop?.isCancellationRequested) abort();
    try {
      const client = await worker.connect();
      // With its job, the request is whole again.
      const params = { ...request, job: randomUUID() } as WorkerRequests[M]['params'];
      return await client.follow(method, params, () => {}, controller.signal);
    } finally {
      for (const listener of listeners) listener?.dispose();
    }
  });
}

/** What the table of a model is asked with. */
export const planSettings = (exported: ExportedModel): WorkerRequests['planExport']['params']['settings'] =>
  exported.kind === 'checkpoint' ? exported.settings : { format: exported.format, target: exported.target };
