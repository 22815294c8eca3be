import { type Linear, ROUNDED_SITES, type RoundedSite, type Site } from '../../../protocol/block.ts';
import { recordOf } from '../../../protocol/records.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, mul, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { concat, reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { type AttentionParts, buildLayer } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { FULL_PRECISION, type LayerShape, quantizerAt } from '../../network/layer-shape.ts';
import { attentionTables, mergedSites, seenByReaders } from '../../network/linear-sites.ts';

/** The linear layers that an error at a site goes through. That of keys and values goes through attention before. */
const READERS: Readonly<Record<RoundedSite, readonly Linear[]>> = {
  'attention-input': ['q', 'k', 'v'],
  key: ['o'],
  value: ['o'],
  'o-input': ['o'],
  'mlp-input': ['gate', 'up'],
  'down-input': ['down'],
};

type ErrorName = `${RoundedSite}.error`;
const ERROR_NAMES = ROUNDED_SITES.map((site): ErrorName => `${site}.error`);
const siteOf = (name: ErrorName): RoundedSite => ROUNDED_SITES.find((site) => errorName(site) === name)!;

/** The name of a site's errors: its own may be that of a map. */
export const errorName = (site: RoundedSite): ErrorName => `${site}.error`;

type ClipErrors = { y: Reals } & Partial<Record<ErrorName, Reals>>;

export interface ClipErrorsSpec {
  /** With the quantizers that are looked at; what they read is at full precision, and so are the weights. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  readonly sites: readonly RoundedSite[];
  readonly ratios: readonly number[];
}

/**
 * x → y [T, d] of a layer of the merged network at full precision, and for each site the error [ratios] of what linear
 * layers give, where its quantizer alone rounds, with each clip ratio: Σ‖(Q(x) − x) Ŵᵀ‖² over its readers. Of keys and
 * values it is that of o, ‖(A(Q(k), v) − A(k, v)) Ŵₒᵀ‖² and likewise: softmax tells which of their errors count.
 */
export const CLIP_ERRORS: ProgramKind<ClipErrorsSpec, ClipErrors> = {
  name: 'clip-errors',
  build({ shape, types, sites, ratios }) {
    const { quantizers, config, batch, sequence } = shape;
    const graph = new Graph();
    const { keyOffset, wholeTokens } = quantizers;
    const exact: LayerShape = {
      ...shape,
      weightForm: 'numbers',
      quantizers: { ...FULL_PRECISION, ...(keyOffset && { keyOffset }), ...(wholeTokens && { wholeTokens }) },
    };
    const x = graph.input('x', [batch * sequence, config.hiddenSize]);
    const inputs = new LayerInputs(graph, exact, types);
    const seen = new Map<Site, Value>();
    const found: { attention: AttentionParts | null } = { attention: null };
    const y = buildLayer(
      x,
      exact,
      mergedSites(inputs, exact, false, () => undefined),
      attentionTables(graph, inputs, exact, true),
      {
        observe: (site, value) => seen.set(site, value),
        keep: () => undefined,
        attends(parts) {
          found.attention = parts;
        },
      },
    );
    const { attention } = found;
    if (!attention) throw new Error('a layer without attention has no keys');
    const moved = errorsAt(inputs, seen, attention);
    const errors = recordOf(ERROR_NAMES, (name) => {
      const site = siteOf(name);
      const quantizer = quantizerAt(site, quantizers);
      if (!quantizer || !sites.includes(site)) return null;
      const through = outputError(READERS[site].map((linear) => inputs.prepared(linear)));
      return concat(
        ratios.map((clipRatio) => through(moved(site, { ...quantizer, clipRatio }))),
        0,
      );
    });
    return { graph, outputs: { ...errors, y }, precision: shape.precision };
  },
};

/** By how much a quantizer moves what the readers of its site multiply [T, in]. */
function errorsAt(inputs: LayerInputs, seen: ReadonlyMap<Site, Value>, attention: AttentionParts) {
  const { keys, values, mix } = attention;
  const mixed = seen.get('o-input')!;
  const rounding = new Map<Site, Value>();
  const read = (site: Site): Value => {
    const rows = rounding.get(site) ?? seenByReaders(inputs, site, seen.get(site)!);
    rounding.set(site, rows);
    return rows;
  };
  return (site: RoundedSite, quantizer: ActivationQuantizer): Value => {
    switch (site) {
      case 'key':
        return seenByReaders(inputs, 'o-input', sub(mix(fakeQuantize(keys, quantizer), values), mixed));
      case 'value':
        return seenByReaders(inputs, 'o-input', sub(mix(keys, fakeQuantize(values, quantizer)), mixed));
      default:
        return sub(fakeQuantize(read(site), quantizer), read(site));
    }
  };
}

/** Σ‖e Wᵀ‖² [1] of errors e [T, in], by the smaller of two products: with the weights [out, in], or with Σ WᵀW [in, in]. */
function outputError(weights: readonly Value[]): (error: Value) => Value {
  const width = weights[0]!.dim(1);
  const outputs = weights.reduce((sum, weight) => sum + weight.dim(0), 0);
  const total = (products: Value): Value => reshape(reduceSum(products, [0, 1]), [1]);
  if (outputs < width)
    return (error) =>
      weights
        .map((weight) => gemm(error, weight, { transB: true }))
        .map((y) => total(mul(y, y)))
        .reduce(add);
  const moment = weights.map((weight) => gemm(weight, weight, { transA: true })).reduce(add);
  return (error) => total(mul(gemm(error, moment), error));
}
