/** The numbers that OmniQuant learns for a layer, as one vector: logits of clipping factors, then scales of channels. */
import { LINEARS, type Linear, type SeamName } from '../../../protocol/block.ts';
import { partialOf, recordOf } from '../../../protocol/records.ts';
import { elementCount } from '../../../protocol/tensor.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import type { Value } from '../../graph/graph.ts';
import { div, sigmoid } from '../../graph/ops/elementwise.ts';
import { concat, reshape, slice } from '../../graph/ops/shape.ts';
import type { ModelConfig } from '../../model/config.ts';
import { gridsPerRow } from '../../network/clipped-weight.ts';
import type { LayerTypes, MadeMaps } from '../../network/layer-inputs.ts';
import type { LearnedLayer } from '../../network/learned-grids.ts';
import { seamOf } from '../../network/seams.ts';

/** Seams whose channels have scales, in the order of the vector. */
export const SCALED_SEAMS = ['attention-norm', 'mlp-norm', 'value', 'query-key'] as const;
export type ScaledSeam = (typeof SCALED_SEAMS)[number] & SeamName;

const ENDS = ['upper', 'lower'] as const;
type End = (typeof ENDS)[number];

/** σ(4) = 0.982: grids begin a little shorter than the range. */
export const FIRST_LOGIT = 4;
/** No scale is nearer to 0. */
export const SMALLEST_SCALE = 1e-2;

interface Segment {
  readonly start: number;
  readonly dims: readonly number[];
}

/** Where each number stands in the vector of `size`. */
export interface Layout {
  readonly size: number;
  readonly clips: Readonly<Record<Linear, Readonly<Record<End, Segment>>>>;
  readonly scales: Readonly<Partial<Record<ScaledSeam, Segment>>>;
  /** Numbers before this are logits, the others scales. */
  readonly firstScale: number;
}

export function layoutOf(
  config: ModelConfig,
  types: LayerTypes,
  quantizer: WeightQuantizer,
  seams: readonly ScaledSeam[],
): Layout {
  let size = 0;
  const next = (dims: readonly number[]): Segment => {
    const start = size;
    size += elementCount(dims);
    return { start, dims };
  };
  const clips = recordOf(LINEARS, (linear) => {
    const [rows = 0, columns = 0] = types[linear]?.dims ?? [];
    return recordOf(ENDS, () => next([rows, gridsPerRow(columns, quantizer)]));
  });
  const firstScale = size;
  const scales = Object.fromEntries(seams.map((seam) => [seam, next(scaleDims(seam, config))]));
  return { size, clips, scales, firstScale };
}

/** One scale for each channel; one for both channels of a pair that RoPE turns, i and i + h/2 of a head. */
function scaleDims(seam: ScaledSeam, config: ModelConfig): readonly number[] {
  return seam === 'query-key' ? [config.kvHeads, 1, config.headDim / 2] : [seamOf(seam, config).channels];
}

/** The parts of a vector of parameters in a graph. */
export interface Parts {
  /** In the order of the vector; together they are the vector. */
  readonly slices: readonly Value[];
  /** σ of the logits [out, groups]. */
  readonly clips: Readonly<Record<Linear, Readonly<Record<End, Value>>>>;
  /** The maps at the seams, made of the scales. */
  readonly maps: MadeMaps;
}

export function partsOf(parameters: Value, layout: Layout, config: ModelConfig): Parts {
  const slices: Value[] = [];
  const part = ({ start, dims }: Segment): Value => {
    const own = slice(parameters, 0, start, start + elementCount(dims));
    slices.push(own);
    return reshape(own, dims);
  };
  const clips = recordOf(LINEARS, (linear) =>
    recordOf(ENDS, (end) => sigmoid(part(layout.clips[linear][end]))),
  );
  const maps = partialOf(SCALED_SEAMS, (seam) => {
    const segment = layout.scales[seam];
    return segment && mapOf(seam, part(segment), config);
  });
  return { slices, clips, maps };
}

/** Channels are divided by s and their readers multiplied; keys are multiplied by it and queries divided. */
function mapOf(seam: ScaledSeam, s: Value, config: ModelConfig): Value {
  if (seam !== 'query-key') return div(s.graph.scalar(1), s);
  return reshape(concat([s, s], 1), [seamOf(seam, config).channels]);
}

/** The numbers of a layer that its network takes, from a vector of parameters. */
export function learnedLayer(parameters: Float32Array, layout: Layout, config: ModelConfig): LearnedLayer {
  const part = ({ start, dims }: Segment) => parameters.slice(start, start + elementCount(dims));
  const clips = recordOf(LINEARS, (linear) =>
    recordOf(ENDS, (end) => part(layout.clips[linear][end]).map((logit) => 1 / (1 + Math.exp(-logit)))),
  );
  const maps = partialOf(SCALED_SEAMS, (seam) => {
    const segment = layout.scales[seam];
    if (!segment) return null;
    const scales = part(segment);
    return seam === 'query-key' ? forPairs(scales, config.headDim) : scales.map((s) => 1 / s);
  });
  return { maps, clips };
}

/** Scales of pairs [heads · h/2] as those of channels [heads · h]. */
function forPairs(scales: Float32Array, headDim: number): Float32Array {
  const half = headDim / 2;
  return Float32Array.from(
    { length: 2 * scales.length },
    (_, i) => scales[Math.floor(i / headDim) * half + (i % half)]!,
  );
}
