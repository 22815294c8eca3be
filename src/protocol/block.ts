/** The parts of a transformer block, by the names that all parts of the product share. */

/** Tensors that quantizers read, in the order of the data flow. */
export const SITES = [
  'attention-input',
  'query',
  'key',
  'value',
  'o-input',
  'mlp-input',
  'down-input',
] as const;
export type Site = (typeof SITES)[number];

/** Sites that are rounded: queries never are. */
export type RoundedSite = Exclude<Site, 'query'>;
export const ROUNDED_SITES = SITES.filter((site): site is RoundedSite => site !== 'query');

/** Values that share one scale of a quantizer: a token, a head of it, or a group of its channels. */
export type ScaleShare = 'token' | 'head' | 'group';

/** The seven linear layers, in the order of the data flow. */
export const LINEARS = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const;
export type Linear = (typeof LINEARS)[number];

/** What a layer rounds: the tensors that its quantizers read, in the order of the data flow, and its weights. */
export const ROUNDED_PARTS = [
  'attention-input',
  'key',
  'value',
  'o-input',
  'mlp-input',
  'down-input',
  ...LINEARS.map((linear) => `${linear}-weight` as const),
] as const satisfies readonly (Site | `${Linear}-weight`)[];
export type RoundedPart = (typeof ROUNDED_PARTS)[number];

/**
 * The places where an invertible map may stand without changing the network's function, with the sites that see the
 * mapped channels. Papers give the maps their names: R1 … R4 of SpinQuant, S of SmoothQuant. H is QuaRot's Hadamard
 * transform across heads.
 */
export const SEAMS = {
  residual: { symbol: 'R1', sites: ['attention-input', 'mlp-input'] },
  'attention-norm': { symbol: 'S', sites: ['attention-input'] },
  'mlp-norm': { symbol: 'S', sites: ['mlp-input'] },
  'value-scale': { symbol: 'S', sites: ['value', 'o-input'] },
  value: { symbol: 'R2', sites: ['value', 'o-input'] },
  'across-heads': { symbol: 'H', sites: ['o-input'] },
  'query-key-scale': { symbol: 'S', sites: ['query', 'key'] },
  'query-key': { symbol: 'R3', sites: ['query', 'key'] },
  'up-scale': { symbol: 'S', sites: ['down-input'] },
  'up-down': { symbol: 'R4', sites: ['down-input'] },
} as const satisfies Record<string, { readonly symbol: string; readonly sites: readonly Site[] }>;
export type SeamName = keyof typeof SEAMS;
export const SEAM_NAMES = Object.keys(SEAMS) as SeamName[];

export type MapSymbol = (typeof SEAMS)[SeamName]['symbol'];

/** Each name of a map once, in the order of the seams. */
export const MAP_SYMBOLS: readonly MapSymbol[] = [...new Set(SEAM_NAMES.map((seam) => SEAMS[seam].symbol))];

/** The seams whose maps act on what a site reads, in the order in which they act. */
export function seamsAt(site: Site): readonly SeamName[] {
  return SEAM_NAMES.filter((seam) => (SEAMS[seam].sites as readonly Site[]).includes(site));
}

/** The names of the maps that may act on what a site reads, in the order in which they act. */
export function symbolsAt(site: Site): readonly MapSymbol[] {
  return seamsAt(site).map((seam) => SEAMS[seam].symbol);
}

/** Parts of keys that are taken out before they are quantized. */
export const OFFSET_PARTS = ['bias', 'mean'] as const;
export type OffsetPart = (typeof OFFSET_PARTS)[number];
