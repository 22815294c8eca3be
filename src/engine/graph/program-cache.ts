import type { Runtime } from '../runtime/types.ts';
import type { Program } from './program.ts';

/** Compiled programs by key, compiled on first use; layers of one shape share theirs. */
export class ProgramCache {
  readonly runtime: Runtime;
  readonly #programs = new Map<string, Promise<Program>>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  get(key: string, compile: (runtime: Runtime) => Promise<Program>): Promise<Program> {
    const known = this.#programs.get(key);
    if (known) return known;
    const program = compile(this.runtime);
    this.#programs.set(key, program);
    return program;
  }

  async release(): Promise<void> {
    const settled = await Promise.allSettled(this.#programs.values());
    this.#programs.clear();
    for (const result of settled) if (result.status === 'fulfilled') result.value.release();
  }
}
