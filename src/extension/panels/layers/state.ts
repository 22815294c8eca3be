import {
  type Quantization,
  type Rotation,
  type SiteQuantizer,
  siteQuantizer,
} from '../../../config/index.ts';
import { SITES } from '../../../protocol/block.ts';
import type { Notice, Problem, RunName } from '../../../protocol/panels/common.ts';
import type {
  DepthPoint,
  Grid,
  LayersMemory,
  LayersState,
  OtherRun,
  Quality,
  SideDetail,
  SiteDetail,
} from '../../../protocol/panels/layers.ts';
import type { LayersStrings } from '../../../protocol/panels/layers-strings.ts';
import type { ActivationsFile, AttributionFile, SiteRecord, SiteStatistics } from '../../../runs/index.ts';
import { finite } from '../finite.ts';
import { attributionView } from './attribution.ts';
import { quantizationGrid } from './grid.ts';

/** The run shown and what was measured in it. */
export interface LayersSource {
  readonly name: RunName;
  readonly model: string;
  /** Without sites where none were measured. */
  readonly activations: Pick<ActivationsFile, 'sites'>;
  readonly attribution?: AttributionFile | null;
  readonly quantization: Quantization;
  readonly rotation: Pick<Rotation, 'acrossHeads'>;
}

export interface LayersInput {
  readonly strings: LayersStrings;
  readonly memory: LayersMemory;
  readonly runs: readonly RunName[];
  readonly shown: LayersSource | null;
  /** Stands beside it. */
  readonly other?: LayersSource | null;
  readonly problem: Problem | null;
  readonly notice?: Notice | null;
}

/** The complete state of the layers panel: all layers in outline, one site of one layer in full. */
export function layersState(input: LayersInput): LayersState {
  const { strings, memory, runs, shown, other = null, problem, notice = null } = input;
  const records = shown?.activations.sites ?? [];
  const sites = SITES.filter((site) => records.some((record) => record.site === site));
  const record = chooseRecord(records, memory);
  return {
    strings,
    remembered: memory,
    runs,
    run: shown && { ...shown.name, model: shown.model },
    sites,
    layers: layersIn(records),
    depth: records.map(depthPoint),
    detail: shown && record ? siteDetail(record, shown) : null,
    attribution: shown?.attribution ? attributionView(shown.attribution) : null,
    other: other && record ? otherRun(other, record) : null,
    problem,
    notice,
  };
}

const layersIn = (records: readonly SiteRecord[]): number =>
  1 + records.reduce((most, { layer }) => Math.max(most, layer), -1);

/** The other run at the same place. */
function otherRun(source: LayersSource, { layer, site }: SiteRecord): OtherRun {
  const { sites: records } = source.activations;
  const record = records.find((one) => one.layer === layer && one.site === site);
  return {
    run: { ...source.name, model: source.model },
    layers: layersIn(records),
    depth: records.map(depthPoint),
    detail: record ? siteDetail(record, source) : null,
  };
}

/** The person's choice as far as it exists; else the site and layer that rotation leaves worst. */
function chooseRecord(records: readonly SiteRecord[], { layer, site }: LayersMemory): SiteRecord | null {
  const bySite = site === null ? records : records.filter((record) => record.site === site);
  const known = bySite.length > 0 ? bySite : records;
  const byLayer = layer === null ? known : known.filter((record) => record.layer === layer);
  return worst(byLayer.length > 0 ? byLayer : known);
}

/** The least SQNR after rotation; of sites that are not quantized, the largest kurtosis. */
function worst(records: readonly SiteRecord[]): SiteRecord | null {
  const badness = ({ after }: SiteRecord): readonly [number, number] =>
    after.sqnrDb === null ? [0, after.kurtosis] : [1, -after.sqnrDb];
  return records.reduce<SiteRecord | null>((most, record) => {
    if (!most) return record;
    const [a, b] = [badness(record), badness(most)];
    return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]) ? record : most;
  }, null);
}

function depthPoint({ layer, site, before, after }: SiteRecord): DepthPoint {
  return { layer, site, before: quality(before), after: quality(after) };
}

function quality({ kurtosis, sqnrDb, maxAbs, rms }: SiteStatistics): Quality {
  return { kurtosis: finite(kurtosis), sqnrDb: finite(sqnrDb), peak: rms > 0 ? finite(maxAbs / rms) : null };
}

function siteDetail(record: SiteRecord, shown: LayersSource): SiteDetail {
  const { layer, site, rotation, offset, before, after } = record;
  const quantizer = siteQuantizer(site, shown.quantization, shown.rotation);
  const side = (statistics: SiteStatistics): SideDetail => ({
    ...quality(statistics),
    counts: statistics.histogram.counts,
    channelMaxima: statistics.channelMaxima.map(short),
    rms: statistics.rms,
    maxAbs: statistics.maxAbs,
    grid: quantizer && drawnGrid(quantizer, statistics),
  });
  return {
    layer,
    site,
    rotation,
    offset: offset ? { ...offset, keptSqnrDb: finite(offset.keptSqnrDb) } : null,
    shares: quantizer?.shares ?? 'token',
    tokens: before.tokens,
    min: before.histogram.min,
    max: before.histogram.max,
    before: side(before),
    after: side(after),
  };
}

/** Returns the median token's grid; without it, the grid over everything, and no token needs a wider one. */
function drawnGrid(quantizer: SiteQuantizer, statistics: SiteStatistics): Grid {
  const { medianRange } = statistics;
  if (medianRange) return { of: 'median', ...quantizationGrid(quantizer, medianRange.min, medianRange.max) };
  return { of: 'widest', ...quantizationGrid(quantizer, ...extent(statistics)) };
}

/** The least and largest value: the outermost bins that hold anything, and the largest magnitude, bound them. */
export function extent({ histogram, maxAbs }: SiteStatistics): readonly [number, number] {
  const { min, max, counts } = histogram;
  const largest = finite(maxAbs) ?? max;
  const width = (max - min) / counts.length;
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  if (first < 0) return [-largest, largest];
  return [Math.max(-largest, min + first * width), Math.min(largest, min + (last + 1) * width)];
}

/** Four digits are more than a cell of a heat map can show, and a quarter of the bytes. */
function short(value: number): number {
  return Number((finite(value) ?? 0).toPrecision(4));
}
