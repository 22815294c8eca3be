import { fakeQuantize } from '../graph/fused/fake-quantize.ts';
import { hadamard } from '../graph/fused/hadamard.ts';
import type { Value } from '../graph/graph.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reshape, toReal } from '../graph/ops/shape.ts';
import type { LinearSites } from './layer.ts';
import type { BiasRole, LayerInputs, LinearRole } from './layer-inputs.ts';
import type { LayerShape } from './layer-shape.ts';
import { rotatedLinears } from './rotated-linear.ts';
import { type KeepCodes, quantizeRotated, quantizeTransformed } from './rotated-quantizer.ts';
import { IDENTITY, type SideTransform, timesTransform, timesTransposed } from './side-transform.ts';
import type { Keep } from './tape.ts';

/** The bases that the rotations give to each weight: Ŵ = Q(leftᵀ W right). */
export interface WeightBases {
  readonly left: SideTransform;
  readonly right: SideTransform;
}

/**
 * Which rotation multiplies which side. R1 (with the folded gain) is on the reading side of q, k, v, gate, up and on
 * the writing side of o, down; R2 on the writing side of v and the reading side of o; R4 on the reading side of down.
 */
export function weightBases(inputs: LayerInputs, shape: LayerShape): Record<LinearRole, WeightBases> {
  const { r1, r2 } = inputs;
  const { r4 } = shape.rotations;
  const write: SideTransform = r1 ? { kind: 'dense', matrix: r1 } : IDENTITY;
  const heads: SideTransform = r2 ? { kind: 'heads', matrix: r2 } : IDENTITY;
  const attentionRead = readingSide(inputs.inputNorm, r1);
  const mlpRead = readingSide(inputs.postNorm, r1);
  return {
    q: { left: IDENTITY, right: attentionRead },
    k: { left: IDENTITY, right: attentionRead },
    v: { left: heads, right: attentionRead },
    o: { left: write, right: heads },
    gate: { left: IDENTITY, right: mlpRead },
    up: { left: IDENTITY, right: mlpRead },
    down: { left: write, right: r4 ? { kind: 'hadamard', transform: r4 } : IDENTITY },
  };
}

/** diag(gain)·R1: the gain of the norm before it is folded into the reading weights. */
function readingSide(gain: Value, r1: Value | null): SideTransform {
  const g = toReal(gain);
  if (!r1) return { kind: 'diagonal', gain: g };
  return { kind: 'dense', matrix: mul(reshape(g, [g.dim(0), 1]), r1) };
}

/** The checkpoint's own network: gains applied to activations, nothing rotated, nothing quantized. */
export function plainSites(inputs: LayerInputs, keep: Keep): LinearSites {
  const linear = (x: Value, role: LinearRole): Value =>
    withBias(gemm(x, toReal(inputs.weight(role)), { transB: true }), inputs, role, IDENTITY);
  return {
    qkv(normed) {
      const x = mul(normed, toReal(inputs.inputNorm));
      return keptHeads([linear(x, 'q'), linear(x, 'k'), linear(x, 'v')], keep);
    },
    output: (mixed) => linear(mixed, 'o'),
    gateUp(normed) {
      const x = mul(normed, toReal(inputs.postNorm));
      return [linear(x, 'gate'), linear(x, 'up')];
    },
    down: (product) => linear(product, 'down'),
  };
}

/**
 * The network in the rotated bases, as it is deployed: weights come prepared (rotated and rounded), activations are
 * quantized. With `learn`, the derivative with respect to R1 and R2 goes through the weights.
 */
export function mergedSites(inputs: LayerInputs, shape: LayerShape, learn: boolean, keep: Keep): LinearSites {
  const bases = weightBases(inputs, shape);
  const { quantizers, rotations } = shape;
  const multiply = (x: Value, roles: readonly LinearRole[]): Value[] => {
    const products = learn
      ? rotatedLinears(
          x,
          roles.map((role) => ({
            prepared: inputs.prepared(role),
            original: inputs.weight(role),
            left: bases[role].left,
          })),
          bases[roles[0]!].right,
        )
      : roles.map((role) => gemm(x, inputs.prepared(role), { transB: true }));
    return products.map((y, index) => withBias(y, inputs, roles[index]!, bases[roles[index]!].left));
  };
  return {
    qkv: (normed) => keptHeads(multiply(fakeQuantize(normed, quantizers.input), ['q', 'k', 'v']), keep),
    output: (mixed) => multiply(fakeQuantize(mixed, quantizers.outputInput), ['o'])[0]!,
    gateUp: (normed) => multiply(fakeQuantize(normed, quantizers.input), ['gate', 'up']) as [Value, Value],
    down(product) {
      const rotated = rotations.r4 ? hadamard(product, rotations.r4) : product;
      return multiply(fakeQuantize(rotated, quantizers.downInput), ['down'])[0]!;
    },
  };
}

/**
 * The cheap equivalent of learning with 16-bit weights: residual and RMSNorm are equivariant, so the network stays
 * unrotated and every activation is rotated at its quantizer only, x̂ = Q(x R1) R1ᵀ. Values and the input of o share
 * R2's basis, so v is turned once and the mixed values are turned back once. Identical in exact arithmetic to
 * {@link mergedSites} at 16-bit weights, without rotating seven matrices per layer.
 */
export function unrotatedSites(inputs: LayerInputs, shape: LayerShape, keep: Keep): LinearSites {
  const { quantizers, rotations } = shape;
  const { r1, r2 } = inputs;
  const basis2: SideTransform = r2 ? { kind: 'heads', matrix: r2 } : IDENTITY;
  const plain = plainSites(inputs, keep);
  const read = (normed: Value, site: 'attention' | 'mlp'): Value => {
    if (!r1) return fakeQuantize(normed, quantizers.input);
    const keepCodes: KeepCodes = (codes, scales) => {
      keep(`${site}Codes`, codes);
      keep(`${site}Scales`, scales);
    };
    return quantizeRotated(normed, r1, quantizers.input, shape.activationCodes ? keepCodes : null);
  };
  return {
    qkv(normed) {
      const [q, k, v] = plain.qkv(read(normed, 'attention'));
      return [q, k, timesTransform(v, basis2)];
    },
    output: (mixed) => plain.output(timesTransposed(fakeQuantize(mixed, quantizers.outputInput), basis2)),
    gateUp: (normed) => plain.gateUp(read(normed, 'mlp')),
    down: (product) =>
      plain.down(
        rotations.r4
          ? quantizeTransformed(product, rotations.r4, quantizers.downInput)
          : fakeQuantize(product, quantizers.downInput),
      ),
  };
}

/** The products of q, k and v themselves, before R2 turns the values in the unrotated form. */
function keptHeads(heads: readonly Value[], keep: Keep): [Value, Value, Value] {
  const [q, k, v] = heads as readonly [Value, Value, Value];
  keep('q', q);
  keep('k', k);
  keep('v', v);
  return [q, k, v];
}

/** y + b L, b in the new output basis of the weight. */
function withBias(y: Value, inputs: LayerInputs, role: BiasRole, left: SideTransform): Value {
  const bias = inputs.bias(role);
  if (!bias) return y;
  const row = reshape(toReal(bias), [1, bias.dim(0)]);
  return add(y, timesTransform(row, left));
}
