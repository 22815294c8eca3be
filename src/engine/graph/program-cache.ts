import { ONE_RANK, type Ranks } from '../distributed/ranks.ts';
import type { Runtime } from '../runtime/types.ts';
import type { Graph } from './graph.ts';
import { type Abilities, abilitiesOf } from './lower/abilities.ts';
import type { LowerOptions } from './lower/index.ts';
import { type HostTensors, type OutputValues, Program } from './program.ts';

/** A graph with its wanted outputs. */
export interface Expression<Out extends object> extends LowerOptions {
  readonly graph: Graph;
  readonly outputs: OutputValues<Out>;
}

/**
 * A kind of program can be built for different specs. Spec and abilities alone decide the program: `build` may read
 * nothing else, so that equal specs can share one program.
 */
export interface ProgramKind<Spec, Out extends object = HostTensors> {
  /** No two kinds have the same name. */
  readonly name: string;
  /** True where it is many short nodes, run again and again: `SessionSettings.spins`. */
  readonly spins?: boolean;
  build(spec: Spec, abilities: Abilities): Expression<Out>;
}

/** Keeps programs by kind and spec and compiles each on first use; layers of one shape share theirs. */
export class ProgramCache {
  readonly runtime: Runtime;
  /** Processes that compute the same beside this one, each on its part of a text. */
  readonly ranks: Ranks;
  readonly abilities: Abilities;
  readonly #programs = new Map<string, Promise<Program<object>>>();

  constructor(runtime: Runtime, ranks: Ranks = ONE_RANK) {
    this.runtime = runtime;
    this.ranks = ranks;
    this.abilities = abilitiesOf(runtime);
  }

  /** @param spec plain data that JSON writes completely. */
  get<Spec, Out extends object>(kind: ProgramKind<Spec, Out>, spec: Spec): Promise<Program<Out>> {
    const key = `${kind.name} ${JSON.stringify(spec)}`;
    // The kind's name determines the type of its outputs.
    const known = this.#programs.get(key) as Promise<Program<Out>> | undefined;
    if (known) return known;
    const { graph, outputs, cut, precision } = kind.build(spec, this.abilities);
    const options = { ...(cut && { cut }), precision, spins: kind.spins ?? false };
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
