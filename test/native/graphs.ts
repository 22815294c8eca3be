/** Sessions on tiny graphs. */
import type { Runtime, Session } from '../../src/engine/runtime/index.ts';
import type { SessionSettings } from '../../src/engine/runtime/types.ts';
import { type NodeSpec, onnxModel, type ValueSpec } from './onnx-model.ts';

export function build(
  runtime: Runtime,
  nodes: NodeSpec[],
  inputs: ValueSpec[],
  outputs: ValueSpec[],
  between: ValueSpec[] = [],
  settings: SessionSettings = {},
): Promise<Session> {
  const specs = outputs.map(({ name, dims, dtype = 'float32' as const }) => [name, { dtype, dims }] as const);
  const model = onnxModel(nodes, inputs, outputs, between);
  return runtime.createSession(model, Object.fromEntries(specs), settings);
}

export const add: NodeSpec = { op: 'Add', inputs: ['a', 'b'], outputs: ['c'] };
export const pair = (name: string): ValueSpec => ({ name, dims: [2, 3] });
export const buildAdd = (runtime: Runtime) => build(runtime, [add], [pair('a'), pair('b')], [pair('c')]);
