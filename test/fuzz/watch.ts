/** Runs the process that reads inputs, and ends it where it takes too long or too much. */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { programArguments } from '../helpers/program.ts';
import type { Fault, Order, Report } from './messages.ts';

const CHILD = programArguments(new URL('child.ts', import.meta.url));
/** An input may compute for so long. */
const HANG_MS = 5000;
/** An input may wait for so long: for something that never comes, or for its turn on a busy machine. */
const WAIT_MS = 60_000;
/** Loading the sources takes longer than reading an input, and more so on a busy machine. */
const START_MS = 120_000;
const MEMORY_BYTES = 2 ** 30;

export interface Watched {
  readonly accepted: number;
  readonly refused: number;
  readonly faults: readonly { readonly index: number; readonly fault: Fault }[];
  /** Inputs that were done; less than ordered where the process died or was ended. */
  readonly done: number;
}

interface Usage {
  readonly bytes: number;
  readonly computedMs: number;
}

/** What Linux tells about a process; elsewhere time stands for computing, and the process reports its memory. */
function usageOf(pid: number | undefined): Usage {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields 14 and 15, in hundredths of a second; the name before them may hold spaces.
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    return { bytes: pages * 4096, computedMs: 10 * (Number(user) + Number(system)) };
  } catch {
    return { bytes: 0, computedMs: performance.now() };
  }
}

class Watcher {
  readonly #child: ChildProcess;
  readonly #faults: { index: number; fault: Fault }[] = [];
  readonly #order: Order;
  #counts = { accepted: 0, refused: 0, done: 0 };
  #index: number | null = null;
  #since = performance.now();
  #computedBefore = 0;
  #isReady = false;
  #isDone = false;
  /** Why the process was ended by us. */
  #ended: Fault | null = null;
  #stderr = '';

  constructor(order: Order) {
    this.#order = order;
    this.#child = fork(CHILD.at(-1)!, [], {
      execArgv: [...CHILD.slice(0, -1), '--max-old-space-size=1024'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.on('data', (chunk) => {
      this.#stderr = (this.#stderr + String(chunk)).slice(-4000);
    });
    this.#child.on('message', (message: Report) => this.#take(message));
    this.#child.send(order);
  }

  async watch(): Promise<Watched> {
    const clock = setInterval(() => this.#look(), 100);
    const code = await new Promise<string>((resolve) =>
      this.#child.on('close', (exit, signal) => resolve(String(exit ?? signal))),
    );
    clearInterval(clock);
    if (!this.#isDone) this.#died(code);
    return { ...this.#counts, faults: this.#faults };
  }

  #take(message: Report): void {
    this.#since = performance.now();
    if (message.type === 'begin') this.#computedBefore = usageOf(this.#child.pid).computedMs;
    if (message.type === 'ready') this.#isReady = true;
    if (message.type === 'done') this.#isDone = true;
    if (message.type === 'begin') this.#index = message.index;
    if (message.type !== 'end' || this.#ended !== null) return;
    this.#index = null;
    this.#counts.done++;
    const { index, outcome, peakBytes } = message;
    if (typeof outcome === 'string') this.#counts[outcome]++;
    else this.#faults.push({ index, fault: outcome });
    if (peakBytes <= MEMORY_BYTES) return;
    // Its highest mark never falls again, so the next input needs a new process.
    this.#faults.push({ index, fault: this.#memory(peakBytes) });
    this.#isDone = true;
    this.#child.kill('SIGKILL');
  }

  #memory(bytes: number): Fault {
    return { kind: 'memory', message: `took ${Math.round(bytes / 2 ** 20)} MiB`, where: '' };
  }

  #look(): void {
    const waited = performance.now() - this.#since;
    const { bytes, computedMs } = usageOf(this.#child.pid);
    const computed = this.#index === null ? 0 : computedMs - this.#computedBefore;
    const limit = this.#isReady ? WAIT_MS : START_MS;
    if (computed > HANG_MS || waited > limit)
      this.#end({
        kind: 'hang',
        message: `no answer for ${Math.round(Math.max(computed, waited))} ms`,
        where: '',
      });
    else if (bytes > MEMORY_BYTES) this.#end(this.#memory(bytes));
  }

  #end(fault: Fault): void {
    this.#ended ??= fault;
    this.#child.kill('SIGKILL');
  }

  #died(code: string): void {
    if (!this.#isReady) throw new Error(`${this.#order.format} cannot be tried:\n${this.#stderr}`);
    const last = this.#order.first + this.#counts.done;
    const crash = { kind: 'crash', message: `${code}: ${this.#stderr.slice(-600)}`, where: '' };
    this.#faults.push({ index: this.#index ?? last, fault: this.#ended ?? crash });
    if (this.#index !== null) this.#counts.done++;
  }
}

/** Has inputs read in a process of their own. */
export function watch(order: Order): Promise<Watched> {
  return new Watcher(order).watch();
}
