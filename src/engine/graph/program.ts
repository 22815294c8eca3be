import { type HostTensor, type Tensor, zeros } from '../../protocol/tensor.ts';
import type { OutputSpec, Runtime, Session } from '../runtime/types.ts';
import { withAddedProducts } from './fused/gemm-bfloat16.ts';
import { swappedAxes } from './fused/swap-axes.ts';
import type { Graph, Value } from './graph.ts';
import { atPrecision, type Precision } from './lower/tiles.ts';
import { forWebGpu } from './lower/webgpu.ts';
import { encodeModel } from './onnx.ts';
import { identity } from './ops/elementwise.ts';
import { composeAll, composeHelpers, type Rebuilt, rebuild } from './rebuild.ts';

export type Tensors = Readonly<Record<string, Tensor>>;
export type HostTensors = Record<string, HostTensor>;

export interface CompileOptions {
  /** Intermediate values that the program takes as inputs instead of computing them. */
  readonly cut?: ReadonlyMap<Value, string>;
  /** Of products, where the processor offers a choice; `float32` by default. */
  readonly precision?: Precision | undefined;
}

/** A compiled graph: pruned to its outputs, lowered for the runtime at hand, loaded as a session. */
export class Program {
  /** Names of the inputs that the pruned graph really reads. */
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

  /**
   * @param outputs values of the graph by the name they get outside. Nulls (no gradient) are left out.
   */
  static async compile(
    runtime: Runtime,
    graph: Graph,
    outputs: Readonly<Record<string, Value | null>>,
    options: CompileOptions = {},
  ): Promise<Program> {
    const wanted = Object.entries(outputs).filter((entry): entry is [string, Value] => entry[1] !== null);
    const pruned = lowered(runtime, graph, Object.fromEntries(wanted), options);
    const results = distinct(pruned.outputs);
    const specs = Object.fromEntries(
      Object.entries(results).map(([name, { dtype, dims }]): [string, OutputSpec] => [name, { dtype, dims }]),
    );
    const session = await runtime.createSession(encodeModel(pruned.graph, results), specs, {
      fuse: graph.real === 'float32',
      onProcessor: graph.real === 'float64',
    });
    const inputs = pruned.graph.inputs.map((value) => value.inputName!);
    return new Program(session, inputs, specs);
  }

  /**
   * Run on tensors by name; tensors that the graph does not read are ignored.
   * @param into tensors to fill in place, by output name; others are newly allocated.
   */
  async run(
    tensors: Tensors,
    signal?: AbortSignal,
    into?: Readonly<Record<string, HostTensor>>,
  ): Promise<HostTensors> {
    const feed: Record<string, Tensor> = {};
    for (const name of this.inputs) {
      const tensor = tensors[name];
      if (!tensor)
        throw new Error(`the graph needs input ${name}; given are ${Object.keys(tensors).join(', ')}`);
      feed[name] = tensor;
    }
    return this.#session.run(feed, into ? this.#completed(into) : this.outputs, signal);
  }

  #completed(into: Readonly<Record<string, HostTensor>>): HostTensors {
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

/** Pruned to the outputs, in operators that the runtime has. */
function lowered(
  runtime: Runtime,
  graph: Graph,
  outputs: Readonly<Record<string, Value>>,
  { cut, precision = 'float32' }: CompileOptions,
): Rebuilt {
  // float64 graphs exist to prove derivatives; our kernels are float32 only, and so are those of GPUs.
  if (graph.real === 'float64') return rebuild(graph, outputs, composeAll, cut);
  if (runtime.kernels === 'native') {
    const helpers = rebuild(graph, outputs, composeHelpers, cut);
    const native = rebuild(helpers.graph, helpers.outputs, swappedAxes);
    if (!runtime.multipliesBfloat16) return native;
    const tiled = rebuild(native.graph, native.outputs, atPrecision(precision));
    const added = withAddedProducts(tiled.graph, Object.values(tiled.outputs));
    const fused = rebuild(tiled.graph, tiled.outputs, added);
    // Once more, to be rid of what nothing reads any longer.
    return rebuild(fused.graph, fused.outputs, () => null);
  }
  const composed = rebuild(graph, outputs, composeAll, cut);
  if (runtime.device.kind !== 'webgpu') return composed;
  return rebuild(composed.graph, composed.outputs, forWebGpu, undefined, (dtype) => runtime.inputType(dtype));
}

/** An output must be the result of a node and appear once: copy where it is an input or is asked for twice. */
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
