import { randomUUID } from 'node:crypto';
import * as vscode from 'vscode';
import type { RunEvent } from '../../protocol/events.ts';
import { advance, NO_PROGRESS } from '../../protocol/progress.ts';
import { formatBytes } from '../../protocol/text.ts';
import type { WorkerRequests } from '../../protocol/worker.ts';
import type { Parts } from '../parts.ts';
import { formatDuration } from '../words.ts';

type Method = 'importModel' | 'download';
type Result<M extends Method> = WorkerRequests[M]['result'];

/** Lets the worker fetch or make files, and shows how many bytes are there; the notification has a button to stop it. */
export function followBytes<M extends Method>(
  { worker }: Parts,
  title: string,
  method: M,
  params: Omit<WorkerRequests[M]['params'], 'job'>,
): Thenable<Result<M>> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return vscode.window.withProgress(options, async (bar, token) => {
    const controller = new AbortController();
    token.onCancellationRequested(() => controller.abort());
    let progress = NO_PROGRESS;
    let shown = 0;
    const tell = (event: RunEvent) => {
      progress = advance(progress, event);
      if (event.type === 'warning') bar.report({ message: event.message });
      if (event.type !== 'download-progress' && event.type !== 'import-progress') return;
      // A download comes in parts, of which only the last is large: a bar would jump.
      const share = event.type === 'import-progress' ? (100 * event.bytesDone) / Math.max(1, event.bytes) : 0;
      bar.report({ message: bytesText(event, progress.secondsLeft), increment: share - shown });
      shown = share;
    };
    const client = await worker.connect();
    const all = { ...params, job: randomUUID() } as WorkerRequests[M]['params'];
    return client.follow(method, all, tell, controller.signal);
  });
}

/** `model.safetensors · 12.0 MiB of 256.6 MiB · 2 min left`. */
function bytesText(
  event: Extract<RunEvent, { type: 'download-progress' | 'import-progress' }>,
  secondsLeft: number | null,
): string {
  const { t } = vscode.l10n;
  const left = event.bytesDone < event.bytes && secondsLeft !== null;
  return [
    ...(event.type === 'download-progress' ? [event.file] : []),
    t('{0} of {1}', formatBytes(event.bytesDone), formatBytes(event.bytes)),
    ...(left ? [t('{0} left', formatDuration(secondsLeft))] : []),
  ].join(' · ');
}
