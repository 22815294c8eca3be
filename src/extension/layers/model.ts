/** The layer tree as data: model → rotations and layers → sites. Knows nothing of the editor. */
import type { Experiment } from '../../config/index.ts';
import type { ModelOutline } from '../../protocol/worker.ts';
import type { ActivationsFile, SiteRecord } from '../../runs/index.ts';

export type RotationState =
  | 'none'
  | 'random'
  | 'hadamard'
  /** To be learned: no run has yet. */
  | 'planned'
  | 'learning'
  | 'learned'
  /** Learned, and measured inside the weights. */
  | 'merged'
  | 'online';

export interface RotationNode {
  readonly type: 'rotation';
  readonly name: RotationName;
  readonly state: RotationState;
}

export interface SiteNode {
  readonly type: 'site';
  readonly layer: number;
  readonly site: Site;
  /** The rotation that acts here, and how it stands. */
  readonly rotation: RotationName;
  readonly state: RotationState;
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
  readonly rotations: readonly RotationNode[];
  readonly layers: readonly LayerNode[];
}

export interface LayerTreeInput {
  readonly experiment: Experiment;
  readonly model: ModelOutline | null;
  readonly activations: ActivationsFile | null;
  /** How far the newest run of this experiment is with the rotations that are learned. */
  readonly progress: 'none' | 'learning' | 'learned' | 'merged';
}

/** Where activations are looked at, in the order of the computation, and the rotation that acts there. */
const SITES: readonly (readonly [Site, RotationName])[] = [
  ['attention-input', 'R1'],
  ['query', 'R3'],
  ['key', 'R3'],
  ['value', 'R2'],
  ['o-input', 'R2'],
  ['mlp-input', 'R1'],
  ['down-input', 'R4'],
];

export function layerTree(input: LayerTreeInput): LayerTreeData {
  const states = rotationStates(input);
  const rotations = (['R1', 'R2', 'R3', 'R4'] as const).map((name) => ({
    type: 'rotation' as const,
    name,
    state: states[name],
  }));
  const records = new Map<string, SiteRecord>();
  for (const record of input.activations?.sites ?? []) records.set(`${record.layer} ${record.site}`, record);
  const measured = input.activations?.sites.map(({ layer }) => layer + 1) ?? [];
  const count = measured.length > 0 ? Math.max(...measured) : (input.model?.layers ?? 0);
  const layers = Array.from({ length: count }, (_, layer) => layerNode(layer, records, states));
  return { rotations, layers };
}

function layerNode(
  layer: number,
  records: ReadonlyMap<string, SiteRecord>,
  states: Readonly<Record<RotationName, RotationState>>,
): LayerNode {
  const sites = SITES.filter(([site]) => records.size === 0 || records.has(`${layer} ${site}`)).map(
    ([site, rotation]): SiteNode => ({
      type: 'site',
      layer,
      site,
      rotation,
      state: states[rotation],
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

function rotationStates({
  experiment,
  progress,
}: LayerTreeInput): Readonly<Record<RotationName, RotationState>> {
  const { r1, r2, r3, r4 } = experiment.rotation;
  const learned = progress === 'none' ? 'planned' : progress;
  const merged = (kind: typeof r1): RotationState => (kind === 'learned' ? learned : kind);
  // R3 cancels in q·k: without a quantizer between there is nothing to do.
  const r3Acts = r3 && experiment.quantization.keys.bits < 16;
  return {
    R1: merged(r1),
    R2: merged(r2),
    R3: r3Acts ? 'online' : 'none',
    R4: r4 ? 'online' : 'none',
  };
}

/** Layers with the least signal left: a tenth of them, at least one and at most four; none while nothing is measured. */
export function worstLayers(layers: readonly LayerNode[]): readonly number[] {
  const measured = layers.filter(({ worst }) => worst?.after.sqnrDb != null);
  const count = Math.min(4, Math.max(1, Math.floor(measured.length / 10)));
  return sortByError(measured)
    .slice(0, count)
    .map(({ layer }) => layer);
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
