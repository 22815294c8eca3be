import { elementCount, type HostTensor } from '../../../protocol/tensor.ts';
import { activationStatistics } from '../../graph/fused/activation-statistics.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import type { Value } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { reduceMax, reduceMin, reduceSum } from '../../graph/ops/reduce.ts';
import { reshape } from '../../graph/ops/shape.ts';
import { type HostTensors, Program } from '../../graph/program.ts';
import type { ObservedSite } from '../../network/layer.ts';
import type { LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerQuantizers, LayerShape, RotationSites } from '../../network/layer-shape.ts';
import { FULL_PRECISION, NO_ROTATION } from '../../network/layer-shape.ts';
import { IDENTITY, type SideTransform, timesTransform } from '../../network/side-transform.ts';
import type { Runtime } from '../../runtime/types.ts';
import { BINS } from './histogram.ts';
import type { StreamingStatistics } from './site-statistics.ts';
import { blockSummaries, summarize } from './summary.ts';

export type Side = 'before' | 'after';
export const SIDES: readonly Side[] = ['before', 'after'];

/** Outputs of the observing program about one side of a site. */
type Observation = 'rows' | 'noise' | 'sums' | 'largest' | 'counts' | 'lows' | 'highs';
const outputName = (site: ObservedSite, side: Side, what: Observation): string => `${site}.${side}.${what}`;

/**
 * x → y of a plain full-precision layer, with statistics of every site's tensor before and after its rotation: those of
 * ActivationStatistics, or without our kernels the rows themselves [T, channels] and the squared error Σ(Q(x) − x)² of
 * the experiment's quantizer; and the range of everything that shares a scale. Where nothing rotates, before only.
 */
export function compileObserved(runtime: Runtime, shape: LayerShape, types: LayerTypes): Promise<Program> {
  const { quantizers, rotations } = shape;
  const plain: LayerShape = { ...shape, quantizers: FULL_PRECISION, rotations: NO_ROTATION };
  const observed: [ObservedSite, Value][] = [];
  const { graph, y } = layerExpression(plain, types, 'plain', false, 'float32', (site, value) => {
    observed.push([site, value]);
  });
  const { hiddenSize, headDim } = shape.config;
  const r1 = rotations.r1 ? graph.input('r1', [hiddenSize, hiddenSize]) : null;
  const r2 = rotations.r2 ? graph.input('r2', [headDim, headDim]) : null;
  const outputs: Record<string, Value> = { y };
  const observe = runtime.kernels === 'native' ? summarized : givenOut;
  for (const [site, before] of observed) {
    const quantizer = siteQuantizer(site, quantizers);
    const after = timesTransform(before, siteTransform(site, rotations, r1, r2));
    const sides: Partial<Record<Side, Value>> = after === before ? { before } : { before, after };
    for (const [side, value] of Object.entries(sides) as [Side, Value][])
      for (const [what, output] of Object.entries(observe(value, quantizer)) as [Observation, Value][])
        outputs[outputName(site, side, what)] = output;
  }
  return Program.compile(runtime, graph, outputs);
}

type Observations = Readonly<Partial<Record<Observation, Value>>>;

function summarized(value: Value, quantizer: ActivationQuantizer | null): Observations {
  if (quantizer) {
    const rounded = fakeQuantize(value, quantizer);
    return { ...activationStatistics(value, rounded, quantizer.group, BINS) };
  }
  const { sums, largest, counts } = activationStatistics(value, value, 0, BINS);
  return { sums, largest, counts };
}

function givenOut(value: Value, quantizer: ActivationQuantizer | null): Observations {
  if (!quantizer) return { rows: value };
  const size = quantizer.group || value.dim(-1);
  const parts = reshape(value, [elementCount(value.dims) / size, size]);
  return {
    rows: value,
    noise: squaredError(value, quantizer),
    lows: reduceMin(parts, [1]),
    highs: reduceMax(parts, [1]),
  };
}

/** Adds what the program gave out about one side of a site: nothing about the side after where nothing rotates. */
export function gather(stream: StreamingStatistics, out: HostTensors, site: ObservedSite, side: Side): void {
  const get = (what: Observation): HostTensor<Float32Array> | null =>
    (out[outputName(site, side, what)] as HostTensor<Float32Array> | undefined) ?? null;
  const [rows, sums, lows] = [get('rows'), get('sums'), get('lows')];
  if (!rows && !sums) return;
  const noise = get('noise');
  const summaries = rows
    ? [summarize(rows.data, rows.dims[1]!, noise && total(noise.data))]
    : blockSummaries({ sums: sums!, largest: get('largest')!, counts: get('counts')! }, lows !== null);
  for (const summary of summaries) stream.add(summary);
  if (lows) stream.addRanges(lows.data, get('highs')!.data);
}

function siteTransform(
  site: ObservedSite,
  { r3, r4 }: RotationSites,
  r1: Value | null,
  r2: Value | null,
): SideTransform {
  switch (site) {
    case 'attention-input':
    case 'mlp-input':
      return r1 ? { kind: 'dense', matrix: r1 } : IDENTITY;
    case 'value':
    case 'o-input':
      return r2 ? { kind: 'heads', matrix: r2 } : IDENTITY;
    case 'query':
    case 'key':
      return r3 ? { kind: 'hadamard', transform: r3 } : IDENTITY;
    case 'down-input':
      return r4 ? { kind: 'hadamard', transform: r4 } : IDENTITY;
  }
}

/** Null where nothing is quantized: queries always, others at 16 bits. */
export function siteQuantizer(site: ObservedSite, quantizers: LayerQuantizers): ActivationQuantizer | null {
  const { input, outputInput, downInput, keys, values } = quantizers;
  const bySite: Record<ObservedSite, ActivationQuantizer | null> = {
    'attention-input': input,
    'mlp-input': input,
    'o-input': outputInput,
    'down-input': downInput,
    key: keys,
    value: values,
    query: null,
  };
  const quantizer = bySite[site];
  return quantizer && quantizer.bits < 16 ? quantizer : null;
}

/** Σ(Q(x) − x)² of each token: summed further in double precision. */
function squaredError(x: Value, quantizer: ActivationQuantizer): Value {
  const error = sub(fakeQuantize(x, quantizer), x);
  return reduceSum(mul(error, error), [1], false);
}

function total(terms: Float32Array): number {
  return terms.reduce((sum, term) => sum + term, 0);
}
