/**
 * Entry of the worker process. Requests come over the channel that the host opened beside stdin, stdout and stderr, so
 * that nothing a library prints can be taken for a message.
 */
import { createMessageConnection, IPCMessageReader, IPCMessageWriter } from 'vscode-jsonrpc/node';
import { serve } from './serve.ts';

/** An ending window may take so long to let the running job write its checkpoint. */
const FAREWELL_MS = 4000;

if (process.send === undefined) {
  console.error('This is the worker of SpinQuant Lab, started by the editor. In a terminal use `spinquant`.');
  process.exit(1);
}

const server = serve(
  createMessageConnection(new IPCMessageReader(process), new IPCMessageWriter(process)),
  () => leave(0),
);

process.on('disconnect', () => {
  console.error('The editor is gone: the worker ends.');
  void server.stop('Interrupted by closing the window.').then(() => leave(0));
  setTimeout(() => leave(1), FAREWELL_MS).unref();
});

// A terminal's Ctrl-C reaches the whole process group; the host decides when the worker ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {
  void server.stop('Interrupted by a signal to its process.').then(() => leave(0));
  setTimeout(() => leave(1), FAREWELL_MS).unref();
});

function leave(code: number): void {
  process.exit(code);
}
