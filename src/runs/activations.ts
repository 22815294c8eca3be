/** The types of `activations.json` show the effect of rotation on the tensors that are quantized. */
import { z } from 'zod';
import {
  LINEARS,
  type Linear,
  MAP_SYMBOLS,
  type MapSymbol,
  OFFSET_PARTS,
  type OffsetPart,
  SITES,
  type Site,
} from '../protocol/block.ts';
import { writeText } from './files.ts';
import { measuredNumber, measuredNumbers } from './numbers.ts';

export interface Histogram {
  /** The ends of the axis, in units of the activation, are the same before and after rotation. */
  readonly min: number;
  readonly max: number;
  /** Number of values in each of the equally wide bins. */
  readonly counts: readonly number[];
}

export interface MedianRange {
  readonly min: number;
  readonly max: number;
}

export interface SiteStatistics {
  readonly histogram: Histogram;
  /** max |x| of each channel over the tokens. */
  readonly channelMaxima: readonly number[];
  /** E[(x−µ)⁴] / σ⁴ over all values: 3 for a Gaussian. */
  readonly kurtosis: number;
  /** 10·log10(Σx² / Σ(Q(x)−x)²) with this experiment's quantizer at this site; null where it is not quantized. */
  readonly sqnrDb: number | null;
  readonly rms: number;
  readonly maxAbs: number;
  readonly tokens: number;
  /**
   * The least and largest value of the part whose quantization step is the median of all. A part (a token, a head of
   * it, a group in it) shares one scale. Null where nothing is quantized; files of earlier versions do not have it.
   */
  readonly medianRange?: MedianRange | null;
}

export interface TakenOut {
  readonly part: OffsetPart;
  /** SQNR after the maps if it stayed in; null where nothing was lost. */
  readonly keptSqnrDb: number | null;
}

export interface SiteRecord {
  readonly layer: number;
  readonly site: Site;
  /** These maps act on the tensor. */
  readonly rotation: readonly MapSymbol[];
  /**
   * What `before` has and `after` has not, as it comes back behind the quantizer. SQNR after is that of the whole then.
   * Absent where nothing is taken out, and in files of earlier versions.
   */
  readonly offset?: TakenOut;
  readonly before: SiteStatistics;
  readonly after: SiteStatistics;
}

export interface WeightStatistics {
  /** E[(w−µ)⁴] / σ⁴ over all values: 3 for a Gaussian. */
  readonly kurtosis: number;
  /** 10·log10(Σw² / Σ(Q(w)−w)²), rounded to nearest on this experiment's grid; null where it is not quantized. */
  readonly sqnrDb: number | null;
}

/** A weight of the checkpoint with the gain of the norm before it, without maps and with those merged into it. */
export interface WeightRecord {
  readonly layer: number;
  readonly linear: Linear;
  /** These maps are merged into the weight. */
  readonly rotation: readonly MapSymbol[];
  readonly before: WeightStatistics;
  readonly after: WeightStatistics;
}

export interface ActivationsFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** A description of the axes, for people. */
  readonly axis: string;
  readonly sites: readonly SiteRecord[];
  /** Files of earlier versions do not have it. */
  readonly weights?: readonly WeightRecord[];
}

const statisticsSchema = z.object({
  histogram: z.object({ min: measuredNumber, max: measuredNumber, counts: measuredNumbers }),
  channelMaxima: measuredNumbers,
  kurtosis: measuredNumber,
  sqnrDb: z.number().nullable(),
  rms: measuredNumber,
  maxAbs: measuredNumber,
  tokens: z.int().min(0),
  medianRange: z.object({ min: measuredNumber, max: measuredNumber }).nullable().exactOptional(),
});

const weightSchema = z.object({ kurtosis: measuredNumber, sqnrDb: z.number().nullable() });

/** No model comes near; views make a place for every layer up to the last. */
const MAX_LAYER = 99_999;

const layer = z.int().min(0).max(MAX_LAYER);
const rotation = z.array(z.enum(MAP_SYMBOLS));

/** What is read from the disk. */
export const activationsSchema = z.object({
  version: z.literal(1),
  bits: z.string(),
  axis: z.string(),
  sites: z.array(
    z.object({
      layer,
      site: z.enum(SITES),
      rotation,
      offset: z.object({ part: z.enum(OFFSET_PARTS), keptSqnrDb: z.number().nullable() }).exactOptional(),
      before: statisticsSchema,
      after: statisticsSchema,
    }),
  ),
  weights: z
    .array(z.object({ layer, linear: z.enum(LINEARS), rotation, before: weightSchema, after: weightSchema }))
    .exactOptional(),
});

/** @param path of `activations.json`. */
export function writeActivations(path: string, activations: ActivationsFile): void {
  const { sites, weights, ...head } = activations;
  const parts = [
    ...Object.entries(head).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`),
    `"sites": ${linesOf(sites)}`,
    ...(weights ? [`"weights": ${linesOf(weights)}`] : []),
  ];
  writeText(path, `{\n${parts.join(',\n')}\n}\n`);
}

/** A line for each record: a line for each of its thousands of numbers would make three times the bytes. */
function linesOf(records: readonly unknown[]): string {
  return `[\n${records.map((record) => JSON.stringify(record)).join(',\n')}\n]`;
}
