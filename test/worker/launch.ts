import { WorkerClient, type WorkerLaunch } from '../../src/extension/jobs/client.ts';
import { WORKER_PROTOCOL } from '../../src/protocol/worker.ts';
import { programArguments } from '../helpers/program.ts';

const WORKER = new URL('../../src/worker/main.ts', import.meta.url);

/** The worker from its sources, in plain Node. */
export function workerLaunch(more: Partial<WorkerLaunch> = {}): WorkerLaunch {
  return { command: process.execPath, args: programArguments(WORKER), ...more };
}

/** Answers the handshake as this version does, and leaves all else to `onRequest`, beside which stands `reply`. */
export const HANDSHAKE = `
  const reply = (id, result) => process.send({ jsonrpc: '2.0', id, result });
  process.on('message', (message) => {
    if (message.method === 'handshake') reply(message.id, { protocol: ${WORKER_PROTOCOL}, product: '0', problem: null });
    else onRequest(message);
  });`;

/** A worker made of a few lines of JavaScript: `send(message)` and `process.on('message', …)` are there. */
export function scriptedLaunch(code: string, more: Partial<WorkerLaunch> = {}): WorkerLaunch {
  return {
    command: process.execPath,
    args: ['--input-type=module', '-e', code],
    ...more,
  };
}

export async function startWorker(
  t: { after(fn: () => void): void },
  more: Partial<WorkerLaunch> = {},
): Promise<WorkerClient> {
  const client = await WorkerClient.start(workerLaunch(more));
  t.after(() => client.kill());
  return client;
}

export const NO_OVERRIDES = { device: null, threads: null, runs: null };
