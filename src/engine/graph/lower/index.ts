/** Only this file asks which operators a runtime has, and writes graphs in those. */
import type { Runtime } from '../../runtime/types.ts';
import type { Graph, Value } from '../graph.ts';
import { type Rebuilt, rebuild } from '../rebuild.ts';
import { abilitiesOf } from './abilities.ts';
import { composeAll } from './composed.ts';
import { lowerNative } from './native.ts';
import type { Precision } from './tiles.ts';
import { forWebGpu } from './webgpu.ts';

export interface LowerOptions {
  /** The program takes these intermediate values as inputs and does not compute them. */
  readonly cut?: ReadonlyMap<Value, string>;
  /** The precision of products where the processor offers a choice; `float32` by default. */
  readonly precision?: Precision | undefined;
}

/** Returns the graph pruned to the outputs, in operators that the runtime has. */
export function lower(
  runtime: Runtime,
  graph: Graph,
  outputs: Readonly<Record<string, Value>>,
  { cut, precision = 'float32' }: LowerOptions,
): Rebuilt {
  // float64 graphs exist to prove derivatives; our kernels are float32 only, and so are those of GPUs.
  if (graph.real === 'float64') return rebuild(graph, outputs, composeAll, cut);
  const abilities = abilitiesOf(runtime);
  if (abilities.ownKernels) return lowerNative(graph, outputs, cut, precision, abilities);
  const composed = rebuild(graph, outputs, composeAll, cut);
  if (runtime.device.kind !== 'webgpu') return composed;
  return rebuild(composed.graph, composed.outputs, forWebGpu, undefined, (dtype) => runtime.inputType(dtype));
}
