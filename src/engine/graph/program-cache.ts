import type { Runtime } from '../runtime/types.ts';
import type { Graph } from './graph.ts';
import { type Abilities, abilitiesOf } from './lower/abilities.ts';
import type { LowerOptions } from './lower/index.ts';
import { type HostTensors, type OutputValues, Program } from './program.ts';

/** A graph with the outputs that are wanted of it. */
export interface Expression<Out extends object> extends LowerOptions {
  readonly graph: Graph;
  readonly outputs: OutputValues<Out>;
}

/**
 * A program that can be built for different specs. Spec and abilities decide it wholly: `build` may look at nothing
 * else, so that equal specs can share one program.
 */
export interface ProgramKind<Spec, Out extends object = HostTensors> {
  /** Differs from those of all other kinds. */
  readonly name: string;
  build(spec: Spec, abilities: Abilities): Expression<Out>;
}

/** Compiled programs by kind and spec, compiled on first use; layers of one shape share theirs. */
export class ProgramCache {
  readonly runtime: Runtime;
  readonly abilities: Abilities;
  readonly #programs = new Map<string, Promise<Program<object>>>();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.abilities = abilitiesOf(runtime);
  }

  /** @param spec plain data, of which JSON writes all. */
  get<Spec, Out extends object>(kind: ProgramKind<Spec, Out>, spec: Spec): Promise<Program<Out>> {
    const key = `${kind.name} ${JSON.stringify(spec)}`;
    // The kind's name stands for its outputs.
    const known = this.#programs.get(key) as Promise<Program<Out>> | undefined;
    if (known) return known;
    const { graph, outputs, cut, precision } = kind.build(spec, this.abilities);
    const options = { ...(cut && { cut }), precision };
    const program = Program.compile<Out>(this.runtime, graph, outputs, options);
    this.#programs.set(key, program);
    return program;
  }

  async release(): Promise<void> {
    const settled = await Promise.allSettled(this.#programs.values());
    this.#programs.clear();
    for (const result of settled) if (result.status === 'fulfilled') result.value.release();
  }
}
