import type { Graph, Value } from './graph.ts';
import { encodeProto } from './model-proto.ts';

const IR_VERSION = 9;
const OPSET = 18;

/**
 * Serialises a graph as an ONNX ModelProto. Every node is written: prune first (rebuild.ts).
 * @param outputs distinct values by output name.
 */
export function encodeModel(graph: Graph, outputs: Readonly<Record<string, Value>>): Uint8Array {
  const names = new Map(Object.entries(outputs).map(([name, value]) => [value, name]));
  const nameOf = (value: Value): string => value.inputName ?? names.get(value) ?? `v${value.id}`;
  const constants = new Set(graph.nodes.flatMap((node) => node.inputs.filter((input) => input.constant)));
  const described = ({ dtype, dims }: Value, name: string) => ({ name, dtype, dims });
  return encodeProto({
    irVersion: IR_VERSION,
    opsets: { '': OPSET, spinquant: 1 },
    nodes: graph.nodes.map(({ op, inputs, outputs, attributes }) => ({
      op: op.name,
      domain: op.domain,
      inputs: inputs.map(nameOf),
      outputs: outputs.map(nameOf),
      attributes,
    })),
    initializers: [...constants].map((value) => ({
      ...described(value, nameOf(value)),
      data: value.constant!.data,
    })),
    inputs: graph.inputs.map((value) => described(value, nameOf(value))),
    outputs: Object.entries(outputs).map(([name, value]) => described(value, name)),
  });
}
