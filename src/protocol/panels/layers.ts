/** Contract of the layers panel: where did the outliers go, which layers still hurt? */
import { z } from 'zod';
import { type MapSymbol, type OffsetPart, type ScaleShare, SITES, type Site } from '../block.ts';
import type { AttributionView } from './attribution.ts';
import { exceptSchema, usePointSchema } from './attribution-intents.ts';
import {
  beginSchema,
  type Notice,
  type Problem,
  pictureSchema,
  type RunName,
  readySchema,
  runDirSchema,
  valuesSchema,
} from './common.ts';
import type { LayersStrings } from './layers-strings.ts';

/** Kurtosis and SQNR of one site on one side of its rotation. */
export interface Quality {
  /** 3 for a Gaussian; null when it is not a finite number. */
  readonly kurtosis: number | null;
  /** Null where nothing is quantized. */
  readonly sqnrDb: number | null;
  /** Largest magnitude in units of the root mean square. */
  readonly peak: number | null;
}

export interface DepthPoint {
  readonly layer: number;
  readonly site: Site;
  readonly before: Quality;
  readonly after: Quality;
}

/** The quantizer of a site, and the grid it gives to what shares one scale. */
export interface Grid {
  /** Which: the one with the median step, or the widest where only that is known. */
  readonly of: 'median' | 'widest';
  readonly bits: number;
  readonly symmetric: boolean;
  /** Values that can be stored, ascending, in units of the activation. */
  readonly levels: readonly number[];
}

export interface SideDetail extends Quality {
  /** Values in each equally wide bin of the histogram. */
  readonly counts: readonly number[];
  /** max |x| of each channel. */
  readonly channelMaxima: readonly number[];
  readonly rms: number;
  readonly maxAbs: number;
  /** Null where nothing is quantized. */
  readonly grid: Grid | null;
}

export interface SiteDetail {
  readonly layer: number;
  readonly site: Site;
  /** The maps that act here: `R1`. */
  readonly rotation: readonly MapSymbol[];
  /** What is taken out before it is quantized, and SQNR after if it stayed in; null for nothing. */
  readonly offset: { readonly part: OffsetPart; readonly keptSqnrDb: number | null } | null;
  /** Values that share one scale. */
  readonly shares: ScaleShare;
  readonly tokens: number;
  /** Ends of the histogram, shared by both sides. */
  readonly min: number;
  readonly max: number;
  readonly before: SideDetail;
  readonly after: SideDetail;
}

export interface OtherRun {
  readonly run: RunName & { readonly model: string };
  readonly layers: number;
  readonly depth: readonly DepthPoint[];
  /** Null where it has not measured there. */
  readonly detail: SiteDetail | null;
}

export interface LayersState {
  readonly strings: LayersStrings;
  readonly remembered: LayersMemory;
  /** Runs with activation statistics, newest first. */
  readonly runs: readonly RunName[];
  /** The one shown. */
  readonly run: (RunName & { readonly model: string }) | null;
  /** Sites that were measured, in the order of the data flow. */
  readonly sites: readonly Site[];
  readonly layers: number;
  readonly depth: readonly DepthPoint[];
  readonly detail: SiteDetail | null;
  /** Where the loss of the one shown goes; null where nobody asked. */
  readonly attribution: AttributionView | null;
  /** Another run beside it, at the same layer and site. */
  readonly other: OtherRun | null;
  readonly problem: Problem | null;
  /** In the place of a run that cannot be shown. */
  readonly notice: Notice | null;
}

const layer = z.int().min(0).max(100_000);

export const layersMemorySchema = z.strictObject({
  /** Null follows the newest run. */
  run: runDirSchema.nullable(),
  /** The experiment file whose newest run is followed; null for any. */
  experiment: runDirSchema.nullable().default(null),
  /** Null: the layer that rotation leaves worst. */
  layer: layer.nullable(),
  site: z.enum(SITES).nullable(),
  /** Run folder that stands beside it. */
  other: runDirSchema.nullable().default(null),
});
export type LayersMemory = z.output<typeof layersMemorySchema>;

export const layersIntentSchema = z.discriminatedUnion('type', [
  readySchema,
  beginSchema,
  pictureSchema,
  valuesSchema,
  z.strictObject({ type: z.literal('run'), run: runDirSchema }),
  z.strictObject({ type: z.literal('site'), site: z.enum(SITES) }),
  z.strictObject({ type: z.literal('layer'), layer }),
  z.strictObject({ type: z.literal('place'), layer, site: z.enum(SITES) }),
  z.strictObject({ type: z.literal('attribute') }),
  exceptSchema,
  usePointSchema,
  z.strictObject({ type: z.literal('other'), run: runDirSchema.nullable() }),
]);
export type LayersIntent = z.output<typeof layersIntentSchema>;
