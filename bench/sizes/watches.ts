/** Measures time and memory of this process. */
import { readFileSync } from 'node:fs';

export class Stopwatch {
  readonly seconds: number[] = [];
  readonly cpuSeconds: number[] = [];
  #wall = 0;
  #cpu = 0;

  start(): void {
    this.#wall = performance.now();
    this.#cpu = cpuTime();
  }

  stop(): void {
    this.seconds.push((performance.now() - this.#wall) / 1000);
    this.cpuSeconds.push(cpuTime() - this.#cpu);
  }

  /** Returns the times without the first, which compiles. */
  warm(): { seconds: readonly number[]; cpuSeconds: readonly number[] } {
    const from = this.seconds.length > 1 ? 1 : 0;
    return { seconds: this.seconds.slice(from), cpuSeconds: this.cpuSeconds.slice(from) };
  }
}

function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

const status = (field: string) =>
  Number(readFileSync('/proc/self/status', 'utf8').match(new RegExp(`${field}:\\s+(\\d+)`))?.[1] ?? 0) * 1024;

/** Samples memory not mapped from files, since the system does not keep its peak. */
export class MemoryWatch {
  #most = 0;
  readonly #timer = setInterval(() => this.look(), 20);

  look(): void {
    this.#most = Math.max(this.#most, status('RssAnon'));
  }

  stop(): number {
    clearInterval(this.#timer);
    this.look();
    return this.#most;
  }
}
