/** The types of `activations.json`: what rotation does to the tensors that are quantized. */
import type { MapSymbol, Site } from '../protocol/block.ts';
import { writeJson } from './files.ts';

export interface Histogram {
  /** Ends of the axis in units of the activation. The same before and after rotation. */
  readonly min: number;
  readonly max: number;
  /** Values in each of the equally wide bins. */
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
   * Least and largest value of what shares a scale (a token, a head of it, a group in it) and whose quantization step is
   * the median of all; null where nothing is quantized. Files of earlier versions are without it.
   */
  readonly medianRange?: MedianRange | null;
}

export interface SiteRecord {
  readonly layer: number;
  readonly site: Site;
  /** The maps that act on this tensor. */
  readonly rotation: readonly MapSymbol[];
  readonly before: SiteStatistics;
  readonly after: SiteStatistics;
}

export interface ActivationsFile {
  readonly version: 1;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** How to read the axes, for people. */
  readonly axis: string;
  readonly sites: readonly SiteRecord[];
}

/** @param path of `activations.json`. */
export function writeActivations(path: string, activations: ActivationsFile): void {
  writeJson(path, activations);
}
