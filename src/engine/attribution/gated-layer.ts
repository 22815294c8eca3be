/**
 * A layer of the merged network in which every rounding has a gate: x̂ = x + γ (Q(x) − x), γ [T, 1] for each token. With
 * all gates 0 it is the network at full precision in the channels of its maps, with all gates 1 the quantized one.
 */
import {
  LINEARS,
  type Linear,
  ROUNDED_PARTS,
  type RoundedPart,
  SITES,
  type Site,
} from '../../protocol/block.ts';
import { partialOf, recordOf } from '../../protocol/records.ts';
import { gradients } from '../autodiff/gradients.ts';
import { type ActivationQuantizer, fakeQuantize } from '../graph/fused/fake-quantize.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { add, mul, sub } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reshape } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { buildLayer, type LinearSites } from '../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../network/layer-inputs.ts';
import {
  type LayerQuantizers,
  type LayerShape,
  quantizerAt,
  weightQuantizer,
} from '../network/layer-shape.ts';
import { attentionTables, seenByReaders, weightBases, withBias } from '../network/linear-sites.ts';
import { readBy } from '../network/packed-weights.ts';

export interface GatedSpec {
  /** Its weights are numbers. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** Input name of a weight before it is rounded, in the channels of its maps [out, in]. */
export const wholeName = (linear: Linear): string => `${linear}.whole`;
export const gateName = (part: RoundedPart): string => `${part}.gate`;
const derivativeName = (part: RoundedPart): string => `${part}.derivative`;

const weightOf = (linear: Linear): RoundedPart => `${linear}-weight`;
const linearOf = (part: RoundedPart): Linear | undefined =>
  LINEARS.find((linear) => weightOf(linear) === part);

function siteOf(part: RoundedPart): Site {
  const site = SITES.find((name) => name === part);
  if (!site) throw new Error(`${part} is no site`);
  return site;
}

/** The parts that a layer of these quantizers rounds. */
export function roundedParts(quantizers: LayerQuantizers): RoundedPart[] {
  return ROUNDED_PARTS.filter((part) => bitsOfPart(part, quantizers) < 16);
}

/** Bits that a part is rounded to. */
export function bitsOfPart(part: RoundedPart, quantizers: LayerQuantizers): number {
  const linear = linearOf(part);
  if (linear) return weightQuantizer(linear, quantizers).bits;
  return quantizerAt(siteOf(part), quantizers)?.bits ?? 16;
}

/** x and y [T, d], and the gates that the layer has. */
function gatedExpression({ shape, types }: GatedSpec) {
  const { config, batch, sequence } = shape;
  const graph = new Graph();
  const tokens = batch * sequence;
  const x = graph.input('x', [tokens, config.hiddenSize]);
  const gates = new Map(
    roundedParts(shape.quantizers).map((part) => [part, graph.input(gateName(part), [tokens, 1])]),
  );
  const inputs = new LayerInputs(graph, shape, types);
  const sites = gatedSites(inputs, shape, gates);
  const tables = attentionTables(graph, inputs, shape, true);
  const y = buildLayer(x, shape, sites, tables, {
    observe: () => undefined,
    keep: () => undefined,
    round(site, value, quantizer) {
      const gate = gates.get(site);
      if (!gate) return value;
      const ofHeads = site === 'key' ? reshape(gate, [batch, 1, sequence, 1]) : gate;
      return gated(value, fakeQuantize(value, quantizer), ofHeads);
    },
  });
  return { graph, x, y, gates };
}

/** exact + γ (rounded − exact). */
function gated(exact: Value, rounded: Value, gate: Value): Value {
  return add(exact, mul(gate, sub(rounded, exact)));
}

function gatedSites(
  inputs: LayerInputs,
  { quantizers }: LayerShape,
  gates: ReadonlyMap<RoundedPart, Value>,
): LinearSites {
  const rounded = (site: RoundedPart, x: Value, quantizer: ActivationQuantizer): Value => {
    const gate = gates.get(site);
    return gate ? gated(x, fakeQuantize(x, quantizer), gate) : x;
  };
  const product = (x: Value, linear: Linear): Value => {
    const prepared = inputs.prepared(linear);
    const gate = gates.get(weightOf(linear));
    const whole = gate ? x.graph.input(wholeName(linear), prepared.dims) : prepared;
    const exact = gemm(x, whole, { transB: true });
    // A token's gate is that of what the weight gives it.
    const y = gate ? gated(exact, gemm(x, prepared, { transB: true }), gate) : exact;
    return withBias(y, inputs, linear, weightBases(inputs, linear).left);
  };
  const read = (
    site: 'attention-input' | 'o-input' | 'mlp-input' | 'down-input',
    x: Value,
    reader: Linear,
  ): Value => rounded(site, seenByReaders(inputs, site, x), readBy(reader, quantizers));
  return {
    qkv(normed) {
      const x = read('attention-input', normed, 'q');
      return [product(x, 'q'), product(x, 'k'), product(x, 'v')];
    },
    output: (mixed) => product(read('o-input', mixed, 'o'), 'o'),
    gateUp(normed) {
      const x = read('mlp-input', normed, 'gate');
      return [product(x, 'gate'), product(x, 'up')];
    },
    down: (values) => product(read('down-input', values, 'down'), 'down'),
  };
}

/** x and gates → y. */
export const GATED: ProgramKind<GatedSpec, { y: Reals }> = {
  name: 'gated',
  build(spec) {
    const { graph, y } = gatedExpression(spec);
    return { graph, outputs: { y }, precision: spec.shape.precision };
  },
};

export type GatedGradients = { dx: Reals } & Record<string, Reals>;

/** x, gates and dy → dx and ∂loss/∂γ [T, 1] of each gate. Computes the layer again. */
export const GATED_BACKWARD: ProgramKind<GatedSpec, GatedGradients> = {
  name: 'gated-backward',
  build(spec) {
    const { graph, x, y, gates } = gatedExpression(spec);
    const parts = [...gates.keys()];
    const [dx, ...derivatives] = gradients([[y, graph.input('dy', y.dims)]], [x, ...gates.values()]);
    const named = parts.map((part, index) => [derivativeName(part), derivatives[index]!]);
    return { graph, outputs: { dx: dx!, ...Object.fromEntries(named) }, precision: spec.shape.precision };
  },
};

/** ∂loss/∂γ [T] of each part that has a gate. */
export function derivativesOf(out: GatedGradients): Partial<Record<RoundedPart, Float32Array>> {
  return partialOf(ROUNDED_PARTS, (part) => out[derivativeName(part)]?.data);
}

/** Gates that are all open so far. */
export const evenGates = (share: number): Readonly<Record<RoundedPart, number>> =>
  recordOf(ROUNDED_PARTS, () => share);
