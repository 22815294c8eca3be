import { type HostTensor, type Tensor, zeros } from '../../protocol/tensor.ts';
import type { BoundRun, OutputSpec, Runtime, Session, SessionSettings } from '../runtime/types.ts';
import type { Graph, Value } from './graph.ts';
import { type LowerOptions, lower } from './lower/index.ts';
import { encodeModel } from './onnx.ts';
import { identity } from './ops/elementwise.ts';

export type Tensors = Readonly<Record<string, Tensor>>;
export type HostTensors = Record<string, HostTensor>;
/** Most outputs of our programs are real numbers in JavaScript memory. */
export type Reals = HostTensor<Float32Array>;

/** A program with all that it reads and fills. */
export interface BoundProgram<Out extends object> extends Omit<BoundRun, 'outputs'> {
  /** Filled by every run. */
  readonly outputs: Out;
}

/** The wanted values of a graph by their names outside. Nulls (no gradient) are left out. */
export type OutputValues<Out extends object> = { readonly [Name in keyof Out]-?: Value | null };

export interface CompileOptions extends LowerOptions, Pick<SessionSettings, 'spins'> {}

/**
 * A compiled graph is pruned to its outputs, lowered for the runtime at hand and loaded as a session.
 * `Out` names the outputs and their kind of numbers; the caller of `compile` must state it correctly.
 */
export class Program<Out extends object = HostTensors> {
  /** The pruned graph reads only these inputs. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly #session: Session;
  readonly #specs: Readonly<Record<string, OutputSpec>>;

  private constructor(
    session: Session,
    inputs: readonly string[],
    specs: Readonly<Record<string, OutputSpec>>,
  ) {
    this.#session = session;
    this.#specs = specs;
    this.inputs = inputs;
    this.outputs = Object.keys(specs);
  }

  static async compile<Out extends object = HostTensors>(
    runtime: Runtime,
    graph: Graph,
    outputs: NoInfer<OutputValues<Out>>,
    options: CompileOptions = {},
  ): Promise<Program<Out>> {
    const wanted = Object.entries<Value | null>(outputs).filter(
      (entry): entry is [string, Value] => entry[1] !== null,
    );
    const pruned = lower(runtime, graph, Object.fromEntries(wanted), options);
    const results = distinct(pruned.outputs);
    const specs = Object.fromEntries(
      Object.entries(results).map(([name, { dtype, dims }]): [string, OutputSpec] => [name, { dtype, dims }]),
    );
    const session = await runtime.createSession(encodeModel(pruned.graph, results), specs, {
      fuse: graph.real === 'float32',
      onProcessor: graph.real === 'float64',
      spins: options.spins ?? false,
    });
    const inputs = pruned.graph.inputs.flatMap(({ inputName }) => inputName ?? []);
    return new Program<Out>(session, inputs, specs);
  }

  /**
   * Runs the graph on tensors by name; tensors that it does not read are ignored.
   * @param into tensors to fill in place, by output name; others are newly allocated.
   */
  async run(tensors: Tensors, signal?: AbortSignal, into?: Partial<Out>): Promise<Out> {
    const outputs = into ? this.#completed(into as HostTensors) : this.outputs;
    // The outputs are the compiled ones, with the types of their values.
    return (await this.#session.run(this.#feed(tensors), outputs, signal)) as Out;
  }

  /** Binds tensors for many runs on the same memory, as {@link run} takes them. */
  bind(tensors: Tensors): BoundProgram<Out> {
    const bound = this.#session.bind(this.#feed(tensors), this.outputs);
    return {
      // As in a run.
      outputs: bound.outputs as Out,
      run: (signal) => bound.run(signal),
      release: () => bound.release(),
    };
  }

  #feed(tensors: Tensors): Record<string, Tensor> {
    const feed: Record<string, Tensor> = {};
    for (const name of this.inputs) {
      const tensor = tensors[name];
      if (!tensor)
        throw new Error(`the graph needs input ${name}; given are ${Object.keys(tensors).join(', ')}`);
      feed[name] = tensor;
    }
    return feed;
  }

  #completed(into: Readonly<HostTensors>): HostTensors {
    return Object.fromEntries(
      Object.entries(this.#specs).map(([name, { dtype, dims }]): [string, HostTensor] => [
        name,
        into[name] ?? zeros(dtype, dims),
      ]),
    );
  }

  release(): void {
    this.#session.release();
  }
}

/** An output must be the result of a node and appear once: an input, or a value wanted twice, is copied. */
function distinct(outputs: Readonly<Record<string, Value>>): Record<string, Value> {
  const seen = new Set<Value>();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => {
      const own = value.node === null || seen.has(value) ? identity(value) : value;
      seen.add(own);
      return [name, own];
    }),
  );
}
