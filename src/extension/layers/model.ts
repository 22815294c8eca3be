/** The layer tree as data: maps, and layers → sites. Knows nothing of the editor. */
import type { Experiment } from '../../config/index.ts';
import {
  MAP_SYMBOLS,
  type MapSymbol,
  type SeamName,
  SITES,
  type Site,
  seamsAt,
  symbolsAt,
} from '../../protocol/block.ts';
import type { ModelOutline } from '../../protocol/worker.ts';
import type { ActivationsFile, SiteRecord } from '../../runs/index.ts';

export type MapState =
  | 'none'
  | 'random'
  | 'hadamard'
  /** To be learned: no run has yet. */
  | 'planned'
  | 'learning'
  | 'learned'
  /** Learned, and measured inside the weights. */
  | 'merged'
  | 'online'
  /** A diagonal that scales channels, inside the weights. */
  | 'scaled'
  /** A map that mixes channels at run time. */
  | 'mixed';

/** The keys in an experiment's `rotation` that switch maps; null where one switch is not enough. */
export const SWITCHES = {
  ...{ R1: 'r1', R2: 'r2', H: 'acrossHeads', R3: 'r3', R4: 'r4', S: null },
} as const satisfies Record<MapSymbol, keyof Experiment['rotation'] | null>;

/** A map of the experiment, and how it stands. */
export interface MapFacts {
  readonly symbol: MapSymbol;
  readonly state: MapState;
}

export interface MapNode extends MapFacts {
  readonly type: 'map';
}

export interface SiteNode {
  readonly type: 'site';
  readonly layer: number;
  readonly site: Site;
  /** The maps that can act here, in the order in which they do. */
  readonly maps: readonly MapFacts[];
  /** Null until activations were measured. */
  readonly record: SiteRecord | null;
}

export interface LayerNode {
  readonly type: 'layer';
  readonly layer: number;
  readonly sites: readonly SiteNode[];
  /** The site with the least signal left after quantization; null until it was measured. */
  readonly worst: SiteRecord | null;
}

export interface LayerTreeData {
  readonly maps: readonly MapNode[];
  readonly layers: readonly LayerNode[];
}

export interface LayerTreeInput {
  /** Null where there are none yet: no map is shown. */
  readonly settings: Pick<Experiment, 'rotation' | 'scaling' | 'quantization'> | null;
  /** Seams that the method of scaling puts scales at. */
  readonly scaled: readonly SeamName[];
  /** True where they are maps that mix channels. */
  readonly mixes?: boolean | undefined;
  readonly model: ModelOutline | null;
  readonly activations: ActivationsFile | null;
  /** State of learned rotations in the newest run of these settings. */
  readonly progress: 'none' | 'learning' | 'learned' | 'merged';
}

export function layerTree(input: LayerTreeInput): LayerTreeData {
  const states = mapStates(input);
  const maps = MAP_SYMBOLS.flatMap((symbol) => factsOf(symbol, states)).map(
    (facts): MapNode => ({ type: 'map', ...facts }),
  );
  const records = new Map<string, SiteRecord>();
  for (const record of input.activations?.sites ?? []) records.set(`${record.layer} ${record.site}`, record);
  const measured = input.activations?.sites.map(({ layer }) => layer + 1) ?? [];
  const count = measured.length > 0 ? Math.max(...measured) : (input.model?.layers ?? 0);
  const { scaled } = input;
  const layers = Array.from({ length: count }, (_, layer) => layerNode(layer, records, states, scaled));
  return { maps, layers };
}

/** @param scaled seams that a method puts scales at. */
function layerNode(
  layer: number,
  records: ReadonlyMap<string, SiteRecord>,
  states: MapStates,
  scaled: readonly SeamName[],
): LayerNode {
  const actsAt = (symbol: MapSymbol, site: Site): boolean =>
    symbol !== 'S' || seamsAt(site).some((seam) => scaled.includes(seam));
  const sites = SITES.filter((site) => records.size === 0 || records.has(`${layer} ${site}`)).map(
    (site): SiteNode => ({
      type: 'site',
      layer,
      site,
      maps: symbolsAt(site).flatMap((symbol) => (actsAt(symbol, site) ? factsOf(symbol, states) : [])),
      record: records.get(`${layer} ${site}`) ?? null,
    }),
  );
  let worst: SiteRecord | null = null;
  for (const { record } of sites) if (record !== null && error(record) > error(worst)) worst = record;
  return { type: 'layer', layer, sites, worst };
}

/** Negative SQNR in dB: greater is worse; nothing measured is best. */
function error(record: SiteRecord | null): number {
  return record?.after.sqnrDb == null ? Number.NEGATIVE_INFINITY : -record.after.sqnrDb;
}

/** Null for a map that the experiment gives nothing to do. */
type MapStates = Readonly<Record<MapSymbol, MapState | null>>;

function factsOf(symbol: MapSymbol, states: MapStates): MapFacts[] {
  const state = states[symbol];
  return state === null ? [] : [{ symbol, state }];
}

function mapStates({ settings, progress, mixes }: LayerTreeInput): MapStates {
  if (settings === null) return { R1: null, S: null, R2: null, H: null, R3: null, R4: null };
  const { r1, r2, acrossHeads, r3, r4 } = settings.rotation;
  const learned = progress === 'none' ? 'planned' : progress;
  const merged = (kind: typeof r1): MapState => (kind === 'learned' ? learned : kind);
  // R3 cancels in q·k: without a quantizer between there is nothing to do.
  const r3Acts = r3 && settings.quantization.keys.bits < 16;
  return {
    R1: merged(r1),
    S: settings.scaling.method === 'none' ? null : mixes ? 'mixed' : 'scaled',
    R2: merged(r2),
    H: acrossHeads ? 'online' : null,
    R3: r3Acts ? 'online' : 'none',
    R4: r4 ? 'online' : 'none',
  };
}

/** Below this, what rounding adds is more than a tenth of the signal's power. */
export const LEAST_DB = 10;
/** The SQNR of a sample may be off by less. */
const LOST_DB = 1;

/** What is bad about a site: little signal is left, or rotation took some away. Null where nothing is, or was measured. */
export function faultOf(record: SiteRecord | null): 'little' | 'lost' | null {
  const [before, after] = [record?.before.sqnrDb ?? null, record?.after.sqnrDb ?? null];
  if (after === null) return null;
  if (after < LEAST_DB) return 'little';
  return before !== null && after < before - LOST_DB ? 'lost' : null;
}

/** Sites of a layer that are bad, the worst first: none in a layer that is only worse than others. */
export function badSites({ sites }: LayerNode): SiteNode[] {
  const bad = sites.filter(({ record }) => faultOf(record) !== null);
  return bad.sort((a, b) => error(b.record) - error(a.record));
}

/** The worst first. */
export function sortByError(layers: readonly LayerNode[]): LayerNode[] {
  return [...layers].sort((a, b) => error(b.worst) - error(a.worst) || a.layer - b.layer);
}

/** Layers and sites that a filter leaves: a number is a layer, `<12` an SQNR in dB, anything else part of a site's name. */
export function filterLayers(
  layers: readonly LayerNode[],
  filter: string,
  nameOf: (site: Site) => string,
): LayerNode[] {
  const text = filter.trim().toLowerCase();
  if (text === '') return [...layers];
  if (/^\d+$/.test(text)) return layers.filter(({ layer }) => layer === Number(text));
  const below = /^<\s*(-?\d+(?:\.\d+)?)(?:\s*db)?$/.exec(text)?.[1];
  const keeps = ({ site, record }: SiteNode) =>
    below === undefined
      ? nameOf(site).toLowerCase().includes(text) || site.includes(text)
      : record?.after.sqnrDb != null && record.after.sqnrDb < Number(below);
  return layers
    .map((node) => ({ ...node, sites: node.sites.filter(keeps) }))
    .filter(({ sites }) => sites.length > 0);
}
