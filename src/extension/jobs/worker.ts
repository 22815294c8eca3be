import type * as vscode from 'vscode';
import { Cancelled } from '../../protocol/errors.ts';
import type { WorkerClient } from './client.ts';
import { workerLaunch } from './launch.ts';

/** The one worker process: started when something needs it, started again after it ended. */
export class Worker implements vscode.Disposable {
  readonly #extensionPath: string;
  readonly #log: vscode.LogOutputChannel;
  #starting: Promise<WorkerClient> | null = null;
  #client: WorkerClient | null = null;
  #stopped = false;

  constructor(extensionPath: string, log: vscode.LogOutputChannel) {
    this.#extensionPath = extensionPath;
    this.#log = log;
  }

  /** The number of the running process, if any. */
  get pid(): number | undefined {
    return this.#client?.alive ? this.#client.pid : undefined;
  }

  async connect(): Promise<WorkerClient> {
    if (this.#stopped) throw new Cancelled('The window closes.');
    if (this.#client?.alive) return this.#client;
    this.#starting ??= this.#start().finally(() => {
      this.#starting = null;
    });
    return this.#starting;
  }

  dispose(): void {
    void this.stop();
  }

  /** Ends the process; a job in it ends in order if it can. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#client?.stop();
  }

  async #start(): Promise<WorkerClient> {
    const { WorkerClient } = await import('./client.ts');
    const launch = workerLaunch(this.#extensionPath, (line) => {
      // The last lines come while the window closes, when the channel is gone.
      if (!this.#stopped) this.#log.info(line);
    });
    this.#log.info(`Starting the worker: ${launch.command} ${launch.args.join(' ')}`);
    this.#client = await WorkerClient.start(launch);
    const { ort, kernels, node, pid, product, platform, problem } = this.#client.handshake;
    this.#log.info(
      `Worker ${pid}: SpinQuant Lab ${product}, onnxruntime ${ort ?? 'missing'}, ${kernels} kernels, Node ${node}, ${platform}`,
    );
    if (problem) this.#log.error(`${problem.message} ${problem.hint}`);
    return this.#client;
  }
}
