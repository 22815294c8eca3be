/**
 * The host's end of the worker process. Knows nothing of the editor, so that tests drive it in plain Node.
 * The channel dies in one way only: when the process ends, every open request is rejected with the reason.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import {
  CancellationTokenSource,
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  type MessageConnection,
  ResponseError,
} from 'vscode-jsonrpc/node';
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import {
  COMPARED_NOTIFICATION,
  type ComparedNotification,
  type CompareParams,
  EVENT_NOTIFICATION,
  type EventNotification,
  type Handshake,
  isWorkerErrorData,
  WORKER_PROTOCOL,
  type WorkerMethod,
  type WorkerRequests,
} from '../../protocol/worker.ts';
import { OpenWork } from './open-work.ts';
import { WorkerEnded } from './worker-ended.ts';

/** Lines of stderr that the message of a dead worker ends with. */
const LAST_LINES = 12;
/** After the process has ended, its last lines may still be on their way. */
const DRAIN_MS = 500;
const HANDSHAKE_MS = 30_000;
const GRACE_MS = 5000;

export interface WorkerLaunch {
  /** Node, or Electron that is told to be Node. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds from asking a job to stop until the process is killed, if nothing else works there. */
  readonly graceMs?: number;
  /** Every line that the worker prints. */
  readonly log?: (line: string) => void;
}

/** Requests that tell events while they run. */
type FollowedMethod =
  | JobMethod
  | 'exportModel'
  | 'planExport'
  | 'exportCheckpoint'
  | 'importModel'
  | 'download';
type JobMethod = 'optimize' | 'evaluate' | 'inspect' | 'attribute';

/** A bug inside the worker; its stack is in the log. */
export class WorkerBug extends Error {
  override readonly name = 'WorkerBug';
}

interface RequestOptions {
  /** Asks the worker to stop; after the grace period the process is killed, if nothing else works there. */
  readonly signal?: AbortSignal;
}

export class WorkerClient {
  readonly pid: number | undefined;
  /** Rejects when the process ends, whatever the reason. */
  readonly #death: Promise<never>;
  readonly #child: ChildProcess;
  readonly #connection: MessageConnection;
  readonly #graceMs: number;
  readonly #work: OpenWork;
  readonly #listeners = new Map<string, (event: RunEvent) => void>();
  readonly #comparisons = new Map<string, (events: ComparedNotification['events']) => void>();
  readonly #lastLines: string[] = [];
  #alive = true;
  #leaving = false;
  #handshake: Handshake | null = null;

  /**
   * Starts a worker and agrees on the protocol with it.
   * @throws WorkerEnded when it does not come up; UserError `worker/protocol` when it is of another version.
   */
  static async start(launch: WorkerLaunch): Promise<WorkerClient> {
    const client = new WorkerClient(launch);
    try {
      const answer = await client.#withDeadline(client.request('handshake', { protocol: WORKER_PROTOCOL }));
      if (answer.protocol !== WORKER_PROTOCOL)
        throw new UserError(
          'worker/protocol',
          `The worker speaks protocol ${answer.protocol} (product ${answer.product}), this extension ${WORKER_PROTOCOL}.`,
          'The extension was updated while it ran: reload the window.',
        );
      client.#handshake = answer;
      return client;
    } catch (error) {
      client.kill();
      throw error;
    }
  }

  private constructor({ command, args, env, graceMs = GRACE_MS, log = () => {} }: WorkerLaunch) {
    this.#graceMs = graceMs;
    this.#work = new OpenWork(graceMs, () => this.kill());
    this.#child = spawn(command, args, {
      env: env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      windowsHide: true,
    });
    this.pid = this.#child.pid;
    const { stdout, stderr } = this.#child;
    readLines(stdout!, log);
    readLines(stderr!, (line) => {
      this.#lastLines.push(line);
      if (this.#lastLines.length > LAST_LINES) this.#lastLines.shift();
      log(line);
    });
    this.#connection = createMessageConnection(
      new IPCMessageReader(this.#child),
      new IPCMessageWriter(this.#child),
    );
    this.#connection.onNotification(EVENT_NOTIFICATION, ({ job, event }: EventNotification) =>
      this.#listeners.get(job)?.(event),
    );
    this.#connection.onNotification(COMPARED_NOTIFICATION, ({ job, events }: ComparedNotification) =>
      this.#comparisons.get(job)?.(events),
    );
    this.#connection.onError(([error]) => log(`channel: ${messageOf(error)}`));
    this.#connection.listen();
    this.#death = this.#watchDeath();
    this.#death.catch(() => {}); // Whoever waits for an answer hears of it.
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** @throws Error before {@link start} has returned. */
  get handshake(): Handshake {
    if (this.#handshake === null) throw new Error('no handshake yet');
    return this.#handshake;
  }

  /**
   * @throws UserError, Cancelled or WorkerBug as the worker says; WorkerEnded when the process ends first.
   */
  async request<M extends WorkerMethod>(
    method: M,
    params: WorkerRequests[M]['params'],
    { signal }: RequestOptions = {},
  ): Promise<WorkerRequests[M]['result']> {
    if (signal?.aborted) throw new Cancelled();
    const source = new CancellationTokenSource();
    const work = this.#work.begin(method);
    const stop = () => {
      source.cancel();
      work.stop();
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const answer = this.#connection.sendRequest<WorkerRequests[M]['result']>(method, params, source.token);
      answer.catch(() => {}); // When the process ends first, nobody else listens.
      return await Promise.race([answer, this.#death]);
    } catch (error) {
      // A channel that breaks is a process that ends: say why it did.
      if (error instanceof ResponseError) throw fromReply(error);
      return await this.#death;
    } finally {
      work.end();
      signal?.removeEventListener('abort', stop);
    }
  }

  /** A request that runs for long: its events come while it does. */
  async follow<M extends FollowedMethod>(
    method: M,
    params: WorkerRequests[M]['params'],
    onEvent: (event: RunEvent) => void,
    signal: AbortSignal,
  ): Promise<WorkerRequests[M]['result']> {
    this.#listeners.set(params.job, onEvent);
    try {
      return await this.request(method, params, { signal });
    } finally {
      this.#listeners.delete(params.job);
    }
  }

  /** Full precision beside runs: their texts come while they are written. */
  async compare(
    params: CompareParams,
    onEvents: (events: ComparedNotification['events']) => void,
    signal: AbortSignal,
  ): Promise<void> {
    this.#comparisons.set(params.job, onEvents);
    try {
      await this.request('compare', params, { signal });
    } finally {
      this.#comparisons.delete(params.job);
    }
  }

  /** Resolves when none of the work that was asked to stop by now goes on here, or the process has ended. */
  stopped(): Promise<void> {
    return this.#work.stopped();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Ends the worker once it has answered; what runs in it is not waited for. */
  async shutdown(): Promise<void> {
    if (!this.#alive) return;
    const killer = setTimeout(() => this.kill(), this.#graceMs);
    this.request('shutdown', {}).catch(() => {});
    await this.#death.catch(() => {});
    clearTimeout(killer);
  }

  /** Closes the channel: the worker stops what runs in order, writes its checkpoint and ends. */
  async stop(): Promise<void> {
    if (!this.#alive) return;
    const killer = setTimeout(() => this.kill(), this.#graceMs);
    this.#leaving = true;
    if (this.#child.connected) this.#child.disconnect();
    await this.#death.catch(() => {});
    clearTimeout(killer);
  }

  #watchDeath(): Promise<never> {
    return new Promise((_, reject) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        if (!this.#alive) return;
        this.#alive = false;
        // First: disposing rejects what is open too, without the reason.
        reject(new WorkerEnded(code, signal, [...this.#lastLines]));
        this.#connection.dispose();
      };
      this.#child.on('error', (error) => {
        this.#lastLines.push(messageOf(error));
        if (this.#child.pid === undefined) end(null, null);
      });
      this.#child.on('close', end);
      // Without its channel it can neither be asked nor answer.
      this.#child.on('disconnect', () => this.#leaving || setTimeout(() => this.kill(), DRAIN_MS));
      // A grandchild may hold the pipes open for ever.
      this.#child.on('exit', (code, signal) => setTimeout(() => end(code, signal), DRAIN_MS));
    });
  }

  #withDeadline<T>(answer: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#lastLines.push(`It did not answer within ${HANDSHAKE_MS / 1000} s.`);
      this.kill();
    }, HANDSHAKE_MS);
    return answer.finally(() => clearTimeout(timer));
  }
}

function fromReply(error: ResponseError<unknown>): Error {
  const { data, message } = error;
  if (!isWorkerErrorData(data)) return new WorkerBug(message);
  if (data.kind === 'cancelled') return new Cancelled(message);
  return data.kind === 'user' ? new UserError(data.code, message, data.hint) : new WorkerBug(message);
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}
