/** Programs of AWQ's scale search: what half a layer gives, and what it gives with candidate weights. */
import type { Linear, SeamName, Site } from '../../../protocol/block.ts';
import { fakeQuantizeWeight, type WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { abs, identity, mul, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { toReal } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { buildLayer, type LinearSites } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { mappedWeight, plainSites, withBias } from '../../network/linear-sites.ts';
import { IDENTITY, timesTransform, timesTransposed } from '../../network/side-transform.ts';
import { HALVES, type Half, type HalfName } from './halves.ts';

export interface HalfSpec {
  readonly half: HalfName;
  /** With the maps so far, whose channels the scales stand behind. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** Program input of a candidate for the weight of a linear layer. */
export const candidateName = (linear: Linear): string => `${linear}.candidate`;

/** Half a layer at full precision. Gains are in what its norm gives, unless the residual is mapped. */
export interface HalfOutputs {
  /** What the half adds to the residual [T, d]. */
  out: Reals;
  /** Σ|x_j| over the tokens of the channels behind the norm [d]. */
  normSums: Reals;
  /** Σ|x_j| over the tokens of what the last weight reads [n]. */
  innerSums: Reals;
  /** These rows themselves [T, n]. */
  rows: Reals;
  /** The norm's gain [d]. */
  gain: Reals;
}

export const HALF: ProgramKind<HalfSpec, HalfOutputs> = {
  name: 'awq-half',
  build(spec) {
    const { graph, inputs, out, seen, cut } = halfExpression(spec, false);
    const { normSite, innerSite, begins } = HALVES[spec.half];
    const [normed, rows] = [seen.get(normSite), seen.get(innerSite)];
    const gain = toReal(begins === 'x' ? inputs.inputNorm : inputs.postNorm);
    const residual = inputs.map('residual');
    const channels =
      normed && (residual.kind === 'identity' ? mul(normed, gain) : timesTransform(normed, residual));
    const outputs = {
      out,
      normSums: channels ? columnSums(channels) : null,
      innerSums: rows ? columnSums(rows) : null,
      rows: rows ?? null,
      gain: identity(gain),
    };
    return { graph, outputs, cut, precision: spec.shape.precision };
  },
};

/** Squared distance of each token [T] between a half's output and `reference` [T, d], with candidates behind its norm. */
export const HALF_ERROR: ProgramKind<HalfSpec, { errors: Reals }> = {
  name: 'awq-half-error',
  build(spec) {
    const { graph, out, cut } = halfExpression(spec, true);
    const difference = sub(out, graph.input('reference', out.dims));
    const errors = reduceSum(mul(difference, difference), [1], false);
    return { graph, outputs: { errors }, cut, precision: spec.shape.precision };
  },
};

interface HalfExpression {
  readonly graph: Graph;
  readonly inputs: LayerInputs;
  readonly out: Value;
  readonly seen: ReadonlyMap<Site, Value>;
  readonly cut: ReadonlyMap<Value, string>;
}

function halfExpression({ half, shape, types }: HalfSpec, candidates: boolean): HalfExpression {
  const graph = new Graph();
  const { config, batch, sequence } = shape;
  const inputs = new LayerInputs(graph, shape, types);
  const seen = new Map<Site, Value>();
  const cut = new Map<Value, string>();
  const added: Partial<Record<HalfName, Value>> = {};
  const plain = plainSites(inputs, () => undefined);
  const behindNorms = candidates ? candidateSites(inputs) : plain;
  const sites: LinearSites = {
    qkv: half === 'attention' ? behindNorms.qkv : plain.qkv,
    output: (mixed) => (added.attention = plain.output(mixed)),
    gateUp: behindNorms.gateUp,
    down: (product) => (added.mlp = plain.down(product)),
  };
  const tables = {
    cos: graph.input('cos', [sequence, config.headDim / 2]),
    sin: graph.input('sin', [sequence, config.headDim / 2]),
    qNorm: inputs.optional('qNorm'),
    kNorm: inputs.optional('kNorm'),
  };
  buildLayer(graph.input('x', [batch * sequence, config.hiddenSize]), shape, sites, tables, {
    observe: (site, value) => seen.set(site, value),
    keep: (name, value) => {
      if (name === 'attended' && half === 'mlp') cut.set(value, name);
    },
  });
  const out = added[half];
  if (!out) throw new Error(`the layer has no ${half}`);
  return { graph, inputs, out, seen, cut };
}

/** Candidates read the norm's rows themselves: its gain is in them. */
function candidateSites(inputs: LayerInputs): Pick<LinearSites, 'qkv' | 'gateUp'> {
  const linear = (x: Value, name: Linear): Value => {
    const weight = x.graph.input(candidateName(name), inputs.weight(name).dims);
    return withBias(gemm(x, weight, { transB: true }), inputs, name, IDENTITY);
  };
  return {
    qkv: (normed) => [linear(normed, 'q'), linear(normed, 'k'), linear(normed, 'v')],
    gateUp: (normed) => [linear(normed, 'gate'), linear(normed, 'up')],
  };
}

export interface CandidateSpec {
  readonly half: HalfName;
  /** With the maps so far and the scales at the seam. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  readonly quantizer: WeightQuantizer;
}

/** W' = Q(W A diag(s)) diag(1/s) Aᵀ [out, d] of the weights behind a norm, by input name of {@link HALF_ERROR}. */
export const CANDIDATES: ProgramKind<CandidateSpec, Record<string, Reals>> = {
  name: 'awq-candidates',
  build({ half, shape, types, quantizer }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const { norm, readers } = HALVES[half] satisfies Half;
    const residual = inputs.map('residual');
    const outputs = readers.map((linear): [string, Value] => {
      const { before } = roundedBehind(inputs, linear, norm, quantizer);
      return [candidateName(linear), timesTransposed(before, residual)];
    });
    return { graph, outputs: Object.fromEntries(outputs), precision: shape.precision };
  },
};

/** diag(E H Eᵀ) [out] of E = Q(Lᵀ W diag(s)) diag(1/s) − Lᵀ W: the energy of its outputs, H of what the last weight reads. */
export const LAST_ERROR: ProgramKind<CandidateSpec, { errors: Reals }> = {
  name: 'awq-last-error',
  build({ half, shape, types, quantizer }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const { inner, last } = HALVES[half] satisfies Half;
    const { before, exact } = roundedBehind(inputs, last, inner, quantizer);
    const error = sub(before, exact);
    const n = error.dim(1);
    const energies = mul(gemm(error, graph.input('moment', [n, n])), error);
    return { graph, outputs: { errors: reduceSum(energies, [1], false) } };
  },
};

/** A weight rounded behind the scales of a seam, and not rounded: both as seen before the scales. */
function roundedBehind(
  inputs: LayerInputs,
  linear: Linear,
  seam: SeamName,
  quantizer: WeightQuantizer,
): { before: Value; exact: Value } {
  const scaled = mappedWeight(inputs, linear);
  const map = inputs.readMap(seam);
  return {
    before: timesTransform(fakeQuantizeWeight(scaled, quantizer), map),
    exact: timesTransform(scaled, map),
  };
}

/** Σ|x| [n] of rows [m, n]. */
function columnSums(rows: Value): Value {
  return reduceSum(abs(rows), [0], false);
}
