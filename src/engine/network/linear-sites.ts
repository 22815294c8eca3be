import { LINEARS, type Linear, SEAMS, type SeamName, type Site } from '../../protocol/block.ts';
import { recordOf } from '../../protocol/records.ts';
import { type ActivationQuantizer, fakeQuantize } from '../graph/fused/fake-quantize.ts';
import { int4MatMuls } from '../graph/fused/int4-matmul.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { reshape, toReal } from '../graph/ops/shape.ts';
import type { AttentionTables, LinearSites } from './layer.ts';
import type { LayerInputs } from './layer-inputs.ts';
import type { LayerShape } from './layer-shape.ts';
import { readBy } from './packed-weights.ts';
import { rotatedLinears, rotateWeight } from './rotated-linear.ts';
import { type KeepCodes, quantizeRotated, quantizeScaled, quantizeTransformed } from './rotated-quantizer.ts';
import { readSeams, type SeamMaps, seamsIn, writtenSeams } from './seams.ts';
import {
  composed,
  IDENTITY,
  inverseTransposed,
  type SideTransform,
  timesDeployed,
  timesTransform,
  timesTransposed,
} from './side-transform.ts';
import type { Keep } from './tape.ts';

/** The bases that gains and maps give to a weight: Ŵ = Q(leftᵀ W right). */
export interface WeightBases {
  readonly left: SideTransform;
  readonly right: SideTransform;
}

/** A weight writes into the maps of its output channels, and reads through its norm's gain and the maps of its input. */
export function weightBases(inputs: LayerInputs, linear: Linear): WeightBases {
  const [read, written] = [readSeams(linear), writtenSeams(linear)];
  return {
    left: written.map((seam) => inputs.map(seam)).reduce(composed, beforeRotary(inputs, linear)),
    right: inputs.side(read.join(), () =>
      read.map((seam) => inverseTransposed(inputs.readMap(seam))).reduce(composed, gainOf(inputs, linear)),
    ),
  };
}

/** Seams whose diagonal maps act on queries and keys before RoPE. */
const BEFORE_ROPE: readonly SeamName[] = ['query-key-scale', 'query-key'];

/** Seams whose maps are merged into a weight, in the order of the table. */
export function mergedSeams(linear: Linear, maps: SeamMaps): SeamName[] {
  const merged = [...readSeams(linear), ...writtenSeams(linear)];
  const beforeRope = (seam: SeamName): boolean =>
    (linear === 'q' || linear === 'k') && BEFORE_ROPE.includes(seam) && maps[seam]?.kind === 'diagonal';
  return seamsIn(maps).filter((seam) => merged.includes(seam) || beforeRope(seam));
}

/**
 * What is merged into queries and keys before RoPE: a diagonal map multiplies keys and divides queries. Other maps of
 * these seams act behind RoPE.
 */
function beforeRotary(inputs: LayerInputs, linear: Linear): SideTransform {
  if (linear !== 'q' && linear !== 'k') return IDENTITY;
  return BEFORE_ROPE.map((seam) =>
    linear === 'k' ? diagonalOnly(inputs.map(seam)) : inverseTransposed(diagonalOnly(inputs.readMap(seam))),
  ).reduce(composed, IDENTITY);
}

function diagonalOnly(map: SideTransform): SideTransform {
  return map.kind === 'diagonal' ? map : IDENTITY;
}

/** Those of all seven weights, made in one place of a graph: the order of sums in a derivative follows from it. */
export function allWeightBases(inputs: LayerInputs): Readonly<Record<Linear, WeightBases>> {
  return recordOf(LINEARS, (linear) => weightBases(inputs, linear));
}

/** A weight in its new bases, W' = leftᵀ W right [out, in], before it is quantized. */
export function mappedWeight(inputs: LayerInputs, linear: Linear): Value {
  const { left, right } = weightBases(inputs, linear);
  return rotateWeight(inputs.weight(linear), left, right);
}

/** The gain of the norm before a weight, folded into it. */
function gainOf(inputs: LayerInputs, linear: Linear): SideTransform {
  const norm = readSeams(linear).find((seam) => seam === 'attention-norm' || seam === 'mlp-norm');
  if (!norm) return IDENTITY;
  const gain = norm === 'attention-norm' ? inputs.inputNorm : inputs.postNorm;
  return { kind: 'diagonal', gain: toReal(gain) };
}

/** Seams of the merged network whose maps act on a site's tensor after it is observed. */
const AFTER_SIGHT = [
  'attention-norm',
  'across-heads',
  'mlp-norm',
  'up-down',
] as const satisfies readonly SeamName[];

/** Turns what is observed at a site of the merged network into the channels that quantizer and weights read. */
export function seenByReaders(inputs: LayerInputs, site: Site, rows: Value, times = timesTransform): Value {
  const seam = AFTER_SIGHT.find((name) => (SEAMS[name].sites as readonly Site[]).includes(site));
  return seam ? times(rows, inputs.map(seam)) : rows;
}

/** A site that linear layers read. */
type ReadSite = 'attention-input' | 'o-input' | 'mlp-input' | 'down-input';

/** Rounds what the readers of a site multiply [T, in]. */
export type RoundsSite = (site: ReadSite, x: Value, quantizer: ActivationQuantizer) => Value;

/** The checkpoint's own network: gains applied to activations, nothing rotated, nothing quantized. */
export function plainSites(inputs: LayerInputs, keep: Keep): LinearSites {
  const linear = (x: Value, linear: Linear): Value =>
    withBias(gemm(x, toReal(inputs.weight(linear)), { transB: true }), inputs, linear, IDENTITY);
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
 * quantized. With `learn`, the derivative with respect to R1 and R2 goes through the weights. Packed weights are
 * multiplied in whole numbers.
 * @param preparedOf Ŵ of a linear layer, where it is not an input of the graph.
 * @param round rounds what a site's readers multiply in another way than their quantizer alone does.
 */
export function mergedSites(
  inputs: LayerInputs,
  shape: LayerShape,
  learn: boolean,
  keep: Keep,
  preparedOf = (linear: Linear): Value => inputs.prepared(linear),
  round: RoundsSite = (_, x, quantizer) => fakeQuantize(x, quantizer),
): LinearSites {
  const { quantizers } = shape;
  const bases = allWeightBases(inputs);
  const merged = { inputs, learn, bases, preparedOf, round };
  const multiply = <L extends readonly Linear[]>(
    site: ReadSite,
    rows: Value,
    quantizer: ActivationQuantizer,
    ...linears: L
  ): { [I in keyof L]: Value } => {
    const isWhole = !learn && linears.every((linear) => inputs.packed(linear));
    const read = seenByReaders(inputs, site, rows, isWhole ? timesDeployed : timesTransform);
    const sums = mergedProducts(merged, site, read, quantizer, linears).map((y, index) =>
      withBias(y, inputs, linears[index]!, bases[linears[index]!].left),
    );
    return sums as { [I in keyof L]: Value };
  };
  return {
    qkv: (normed) => keptHeads(multiply('attention-input', normed, quantizers.input, 'q', 'k', 'v'), keep),
    output: (mixed) => multiply('o-input', mixed, quantizers.outputInput, 'o')[0],
    gateUp: (normed) => multiply('mlp-input', normed, readBy('gate', quantizers), 'gate', 'up'),
    down: (product) => multiply('down-input', product, quantizers.downInput, 'down')[0],
  };
}

interface Merged {
  readonly inputs: LayerInputs;
  readonly learn: boolean;
  readonly bases: ReturnType<typeof allWeightBases>;
  readonly preparedOf: (linear: Linear) => Value;
  readonly round: RoundsSite;
}

/** Products of a site's activations [T, in] with the weights of linear layers, without their biases. */
function mergedProducts(
  { inputs, learn, bases, preparedOf, round }: Merged,
  site: ReadSite,
  read: Value,
  quantizer: ActivationQuantizer,
  linears: readonly Linear[],
): Value[] {
  const packed = linears.flatMap((linear) => inputs.packed(linear) ?? []);
  // Derivatives take the products of one input in one way.
  const inWhole = packed.length === linears.length || (packed.length > 0 && !learn);
  const whole = inWhole ? int4MatMuls(read, packed, quantizer) : [];
  if (whole.length === linears.length && !learn) return whole;
  const x = round(site, read, quantizer);
  if (!learn) {
    const rest = whole.values();
    return linears.map((linear) =>
      inputs.packed(linear) ? rest.next().value! : gemm(x, preparedOf(linear), { transB: true }),
    );
  }
  const weights = linears.map((linear) => ({
    prepared: preparedOf(linear),
    original: inputs.weight(linear),
    ...bases[linear],
  }));
  return rotatedLinears(x, weights, weights[0]?.right ?? IDENTITY, whole);
}

/**
 * The cheap equivalent of learning with 16-bit weights: residual and RMSNorm are equivariant, so the network stays
 * unrotated and every activation is rotated at its quantizer only, x̂ = Q(x R1) R1ᵀ. Values and the input of o share
 * R2's basis, so v is turned once and the mixed values are turned back once. Fixed transforms are undone at once. Identical in exact arithmetic to
 * {@link mergedSites} at 16-bit weights, without rotating seven matrices per layer.
 */
export function unrotatedSites(
  inputs: LayerInputs,
  shape: LayerShape,
  learn: boolean,
  keep: Keep,
): LinearSites {
  const { quantizers } = shape;
  const residual = inputs.map('residual');
  const heads = composed(inputs.map('value-scale'), inputs.map('value'));
  const product = composed(inputs.map('up-scale'), inputs.map('up-down'));
  const across = inputs.map('across-heads');
  const keyScales = inputs.map('query-key-scale');
  const queryScales = inverseTransposed(inputs.readMap('query-key-scale'));
  const mixedBack = composed(
    inverseTransposed(inputs.readMap('value-scale')),
    inverseTransposed(inputs.readMap('value')),
  );
  const plain = plainSites(inputs, keep);
  const read = (normed: Value, site: 'attention' | 'mlp'): Value => {
    const quantizer = readBy(site === 'attention' ? 'q' : 'gate', quantizers);
    const scales = inputs.map(`${site}-norm`);
    if (scales.kind === 'diagonal') return quantizeScaled(normed, residual, scales.gain, quantizer);
    if (residual.kind !== 'dense') return fakeQuantize(normed, quantizer);
    const keepCodes: KeepCodes = (codes, scales) => {
      keep(`${site}Codes`, codes);
      keep(`${site}Scales`, scales);
    };
    return quantizeRotated(normed, residual.matrix, quantizer, shape.activationCodes ? keepCodes : null);
  };
  return {
    qkv(normed) {
      const [q, k, v] = plain.qkv(read(normed, 'attention'));
      return [timesTransform(q, queryScales), timesTransform(k, keyScales), timesTransform(v, heads)];
    },
    output: (mixed) =>
      plain.output(timesTransposed(quantizeTransformed(mixed, across, quantizers.outputInput), mixedBack)),
    gateUp(normed) {
      const rounded = read(normed, 'mlp');
      // A backward pass reads them in the derivative of SwiGLU alone.
      return normed.graph.deriving(learn, () => plain.gateUp(rounded));
    },
    down: (rows) => plain.down(quantizeTransformed(rows, product, quantizers.downInput)),
  };
}

/** The products of q, k and v themselves, before the unrotated form turns the values. */
function keptHeads([q, k, v]: readonly [Value, Value, Value], keep: Keep): [Value, Value, Value] {
  keep('q', q);
  keep('k', k);
  keep('v', v);
  return [q, k, v];
}

/** y + b L, b in the new output basis of the weight. */
export function withBias(y: Value, inputs: LayerInputs, linear: Linear, left: SideTransform): Value {
  const row = biasRow(inputs, linear, left);
  return row ? add(y, row) : y;
}

/** b L [1, out], b in the new output basis of the weight; null without a bias. */
function biasRow(inputs: LayerInputs, linear: Linear, left: SideTransform): Value | null {
  const bias = inputs.bias(linear);
  return bias && timesTransform(reshape(toReal(bias), [1, bias.dim(0)]), left);
}

/**
 * The part of keys [1, G·h] that is taken out before they are quantized, in the channels that RoPE sees.
 * @param isMapped true where maps are merged into the weight of keys.
 */
export function keyOffset(
  inputs: LayerInputs,
  { quantizers }: Pick<LayerShape, 'quantizers'>,
  isMapped: boolean,
): Value | null {
  if (quantizers.keyOffset === undefined) return null;
  const left = isMapped ? weightBases(inputs, 'k').left : IDENTITY;
  if (quantizers.keyOffset !== 'mean') return biasRow(inputs, 'k', left);
  const mean = inputs.optional('keyMean');
  if (!mean) throw new Error('the means of keys were not taken');
  return timesTransform(toReal(mean), left);
}

/** What attention reads of a text from its beginning, beside its projections. @param isMapped see {@link keyOffset}. */
export function attentionTables(
  graph: Graph,
  inputs: LayerInputs,
  shape: LayerShape,
  isMapped: boolean,
): AttentionTables {
  const { sequence, config } = shape;
  return {
    cos: graph.input('cos', [sequence, config.headDim / 2]),
    sin: graph.input('sin', [sequence, config.headDim / 2]),
    qNorm: inputs.optional('qNorm'),
    kNorm: inputs.optional('kNorm'),
    keyOffset: keyOffset(inputs, shape, isMapped),
  };
}
