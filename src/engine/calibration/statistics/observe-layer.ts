import { type Site, seamsAt } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import { elementCount, type HostTensor } from '../../../protocol/tensor.ts';
import { activationStatistics } from '../../graph/fused/activation-statistics.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import type { Value } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { reduceMax, reduceMin, reduceSum } from '../../graph/ops/reduce.ts';
import { reshape } from '../../graph/ops/shape.ts';
import type { HostTensors, Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import type { SiteObserver } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import { FULL_PRECISION, type LayerShape, quantizerAt } from '../../network/layer-shape.ts';
import { NO_MAPS } from '../../network/seams.ts';
import { timesTransform } from '../../network/side-transform.ts';
import { BINS } from './histogram.ts';
import type { StreamingStatistics } from './site-statistics.ts';
import { blockSummaries, summarize } from './summary.ts';

/** `kept` is behind the maps, too, of keys that keep the offset that is taken out of them. */
export type Side = 'before' | 'after' | 'kept';
export const SIDES: readonly Side[] = ['before', 'after', 'kept'];

/** Outputs of the observing program about one side of a site. */
type Observation = 'rows' | 'noise' | 'sums' | 'largest' | 'counts' | 'lows' | 'highs';
const outputName = (site: Site, side: Side, what: Observation): string => `${site}.${side}.${what}`;

export interface ObserveSpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/**
 * x → y of a plain full-precision layer, with statistics of every site's tensor before and after its maps: those of
 * ActivationStatistics, or without our kernels the rows themselves [T, channels] and the squared error Σ(Q(x) − x)² of
 * the experiment's quantizer; and the range of everything that shares a scale. Where nothing is mapped, before only.
 * Keys with an offset have it before, and are without it behind their maps.
 */
export const OBSERVE: ProgramKind<ObserveSpec, { y: Reals } & HostTensors> = {
  name: 'observe',
  build({ shape, types }, { ownKernels }) {
    const { keyOffset } = shape.quantizers;
    const quantizers = { ...FULL_PRECISION, ...(keyOffset && { keyOffset }) };
    const plain: LayerShape = { ...shape, quantizers, maps: NO_MAPS };
    const observed: Parameters<SiteObserver>[] = [];
    const { graph, y } = layerExpression(plain, types, 'plain', false, 'float32', (...seen) => {
      observed.push(seen);
    });
    const inputs = new LayerInputs(graph, shape, {});
    const outputs: Record<string, Value> = {};
    const observe = ownKernels ? summarized : givenOut;
    for (const [site, value, whole] of observed) {
      const quantizer = quantizerAt(site, shape.quantizers);
      const mapped = (rows: Value): Value =>
        seamsAt(site).reduce((x, seam) => timesTransform(x, inputs.mapAt(site, seam)), rows);
      const before = whole?.() ?? value;
      const [after, kept] = [mapped(value), whole && mapped(before)];
      const sides: Partial<Record<Side, Value>> = {
        before,
        ...(after !== before && { after }),
        ...(kept && { kept }),
      };
      for (const [side, value] of Object.entries(sides) as [Side, Value][])
        for (const [what, output] of Object.entries(observe(value, quantizer)) as [Observation, Value][])
          outputs[outputName(site, side, what)] = output;
    }
    return { graph, outputs: { ...outputs, y } };
  },
};

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

/**
 * Adds what the program gave out about one side of a site: nothing about the side after where nothing rotates.
 * @throws UserError `statistics/not-finite`.
 */
export function gather(
  stream: StreamingStatistics,
  out: HostTensors,
  layer: number,
  site: Site,
  side: Side,
): void {
  const get = (what: Observation): HostTensor<Float32Array> | null =>
    (out[outputName(site, side, what)] as HostTensor<Float32Array> | undefined) ?? null;
  const [rows, sums, lows] = [get('rows'), get('sums'), get('lows')];
  if (!rows && !sums) return;
  const noise = get('noise');
  const summaries = rows
    ? [summarize(rows.data, rows.dims[1]!, noise && total(noise.data))]
    : blockSummaries({ sums: sums!, largest: get('largest')!, counts: get('counts')! }, lows !== null);
  for (const summary of summaries) {
    requireFinite(summary.sums[0]!, `${site} of layer ${layer} ${side} its maps`);
    stream.add(summary);
  }
  if (lows) stream.addRanges(lows.data, get('highs')!.data);
}

/** Maxima and histograms would leave a NaN out without a word, but the sum of the values cannot. */
function requireFinite(sum: number, where: string): void {
  if (Number.isFinite(sum)) return;
  throw new UserError(
    'statistics/not-finite',
    `The values at ${where} are not all finite on the calibration text.`,
    'The network overflows there: check the checkpoint, or use another calibration text.',
  );
}

/** Σ(Q(x) − x)² of each token: summed further in double precision. */
function squaredError(x: Value, quantizer: ActivationQuantizer): Value {
  const error = sub(fakeQuantize(x, quantizer), x);
  return reduceSum(mul(error, error), [1], false);
}

function total(terms: Float32Array): number {
  return terms.reduce((sum, term) => sum + term, 0);
}
