/**
 * The one table of the places where an invertible map may stand without changing the network's function. A map T at a
 * seam takes the channels x to x T; whoever writes them is multiplied by T, whoever reads them by T⁻ᵀ, so that nothing
 * changes but the numbers that quantizers see.
 */
import {
  type Linear,
  type MapSymbol,
  SEAM_NAMES,
  SEAMS,
  type SeamName,
  type Site,
} from '../../protocol/block.ts';
import type { HadamardTransform } from '../graph/fused/hadamard.ts';
import type { ModelConfig } from '../model/config.ts';
import { kroneckerSize } from './kronecker.ts';

/** Kinds of maps, and what makes them safe at a seam. */
export type MapFamily = 'diagonal' | 'orthogonal' | 'invertible' | 'hadamard';

export interface Seam {
  readonly name: SeamName;
  /** The name that papers give to the map. */
  readonly symbol: MapSymbol;
  /** Channels that the map takes: the hidden size, one head, the number of heads, or the intermediate size. */
  readonly width: number;
  /** Channels that are written there: `width`, or that of all key/value heads of a layer. */
  readonly channels: number;
  /** True where each layer has a map of its own; else one serves the network. */
  readonly perLayer: boolean;
  /** Maps at this seam. */
  readonly count: number;
  /** True where one map acts on every head of its layer. */
  readonly perHead: boolean;
  /** Linear layers that write the channels; their output side takes T. */
  readonly writers: readonly Linear[];
  /** Linear layers that read the channels; their input side takes T⁻ᵀ. */
  readonly readers: readonly Linear[];
  /** Tensors that quantizers see in the new channels. */
  readonly sites: readonly Site[];
  /** Maps that leave the function alone when they are merged into weights. */
  readonly merged: readonly MapFamily[];
  /** Maps that leave the function alone when they are computed at run time. */
  readonly online: readonly MapFamily[];
  /** Why nothing else may stand here. */
  readonly why: string;
}

type Rules = Pick<Seam, 'perLayer' | 'writers' | 'readers' | 'merged' | 'online' | 'why'> & {
  readonly width: (config: ModelConfig) => number;
  readonly perHead?: true;
};

const NORM = {
  writers: [],
  width: ({ hiddenSize }: ModelConfig) => hiddenSize,
  perLayer: true,
  merged: ['diagonal'],
  online: ['orthogonal', 'invertible'],
  why: 'Only a gain stands between the norm and its readers, and a gain is a diagonal.',
} as const satisfies Partial<Rules>;

const RULES: Readonly<Record<SeamName, Rules>> = {
  residual: {
    writers: ['o', 'down'],
    readers: ['q', 'k', 'v', 'gate', 'up'],
    width: ({ hiddenSize }) => hiddenSize,
    perLayer: false,
    merged: ['orthogonal'],
    online: [],
    why: 'RMSNorm commutes with rotations alone.',
  },
  'attention-norm': { ...NORM, readers: ['q', 'k', 'v'] },
  'mlp-norm': { ...NORM, readers: ['gate', 'up'] },
  'value-scale': {
    writers: ['v'],
    readers: ['o'],
    width: ({ headDim }) => headDim,
    perLayer: true,
    perHead: true,
    merged: ['diagonal'],
    online: [],
    why: 'A rotation of the head stands behind it: scales act before that is made.',
  },
  value: {
    writers: ['v'],
    readers: ['o'],
    width: ({ headDim }) => headDim,
    perLayer: true,
    perHead: true,
    merged: ['diagonal', 'orthogonal', 'invertible'],
    online: ['hadamard'],
    why: 'Attention mixes tokens, never the channels of a head.',
  },
  'across-heads': {
    writers: [],
    readers: ['o'],
    width: ({ heads }) => heads,
    perLayer: true,
    merged: [],
    online: ['hadamard'],
    why: 'Each head mixes tokens by weights of its own: heads can be mixed only behind that.',
  },
  'query-key-scale': {
    writers: [],
    readers: [],
    width: ({ headDim }) => headDim,
    perLayer: true,
    perHead: true,
    merged: ['diagonal'],
    online: [],
    why: 'RoPE turns pairs of channels by position, and what mixes channels stands behind it: both of a pair have one factor.',
  },
  'query-key': {
    writers: [],
    readers: [],
    width: ({ headDim }) => headDim,
    perLayer: true,
    perHead: true,
    merged: ['diagonal'],
    online: ['hadamard', 'orthogonal'],
    why: 'RoPE turns pairs of channels by position: what is merged before it has one factor for both of a pair.',
  },
  'up-scale': {
    writers: ['up'],
    readers: ['down'],
    width: ({ intermediateSize }) => intermediateSize,
    perLayer: true,
    merged: ['diagonal'],
    online: [],
    why: 'SiLU(gate) ∘ up is linear in up, channel by channel; what mixes channels stands behind it.',
  },
  'up-down': {
    writers: [],
    readers: ['down'],
    width: ({ intermediateSize }) => intermediateSize,
    perLayer: true,
    merged: ['diagonal'],
    online: ['hadamard', 'invertible'],
    why: 'SiLU(gate) ∘ up is taken channel by channel.',
  },
};

/** The seams of a model, in the order in which their maps act. */
export function seamsOf(config: ModelConfig): readonly Seam[] {
  return SEAM_NAMES.map((name) => seamOf(name, config));
}

export function seamOf(name: SeamName, config: ModelConfig): Seam {
  const { width: widthOf, perHead = false, ...rules } = RULES[name];
  const count = rules.perLayer ? config.layers : 1;
  const width = widthOf(config);
  const channels = width * (perHead ? config.kvHeads : 1);
  // A norm of each head stands between the weights and RoPE: nothing can be merged across it.
  const isBeforeRope = name === 'query-key-scale' || name === 'query-key';
  const merged = isBeforeRope && config.qkNorm ? [] : rules.merged;
  return { name, ...SEAMS[name], ...rules, merged, width, channels, count, perHead };
}

/** Seams whose channels a linear layer reads, and those whose channels it writes, in the order of their maps. */
export function readSeams(linear: Linear): readonly SeamName[] {
  return SEAM_NAMES.filter((name) => RULES[name].readers.includes(linear));
}

export function writtenSeams(linear: Linear): readonly SeamName[] {
  return SEAM_NAMES.filter((name) => RULES[name].writers.includes(linear));
}

/** The kind of a map, which decides a graph. Its numbers are inputs of the graph. */
export type SeamMap =
  /** A matrix [n, n], orthogonal. */
  | { readonly kind: 'dense' }
  /** One matrix [h, h] for every head of its layer, orthogonal. */
  | { readonly kind: 'heads' }
  /** A matrix [h, h] for each key/value head and the query heads of its group, orthogonal. */
  | { readonly kind: 'each-head' }
  /** A factor for each channel that is written, none of them 0: of every key/value head where maps act on heads. */
  | { readonly kind: 'diagonal' }
  /** diag(s) (P₁ ⊗ P₂), computed at run time: {@link kroneckerParts} says which numbers. */
  | { readonly kind: 'kronecker' }
  /** A fixed Hadamard transform, computed at run time. */
  | { readonly kind: 'hadamard'; readonly transform: HadamardTransform }
  /** The same of the heads: channel i of every head is mixed with channel i of the others. */
  | { readonly kind: 'across-heads'; readonly transform: HadamardTransform };

/** True for a map without numbers of its own. */
export function isFixed(map: SeamMap): map is Extract<SeamMap, { readonly transform: HadamardTransform }> {
  return map.kind === 'hadamard' || map.kind === 'across-heads';
}

/** The name that papers give to a map at a seam: scales of channels, also before P₁ ⊗ P₂, have one name anywhere. */
export function symbolOf(seam: SeamName, { kind }: SeamMap): MapSymbol {
  return kind === 'diagonal' || kind === 'kronecker' ? 'S' : SEAMS[seam].symbol;
}

/** The map at each seam; none where a seam is absent. */
export type SeamMaps = Readonly<Partial<Record<SeamName, SeamMap>>>;

export const NO_MAPS: SeamMaps = {};

/**
 * Numbers of the maps, row-major: one array for the network, or one for each layer, or for each key/value head of each
 * layer in turn. Absent where nothing is given.
 */
export type SeamState = Readonly<Partial<Record<SeamName, readonly Float32Array[]>>>;

/** Shape of the numbers of a map. */
export function mapDims(map: SeamMap, { width, channels }: Seam): readonly number[] {
  if (map.kind === 'kronecker') return [kroneckerSize(width)];
  if (map.kind === 'diagonal') return [channels];
  return map.kind === 'each-head' ? [channels / width, width, width] : [width, width];
}

/** Arrays of a state that stand in the one tensor of a layer. */
export function mapsOfTensor({ kind }: SeamMap, { width, channels }: Seam): number {
  return kind === 'each-head' ? channels / width : 1;
}

/** The numbers of tensors as a state has them: views of these. */
export function asState<T extends Float32Array | Float64Array>(
  map: SeamMap,
  seam: Seam,
  tensors: readonly T[],
): T[] {
  const count = mapsOfTensor(map, seam);
  return tensors.flatMap((numbers) => {
    const size = numbers.length / count;
    // A view has the type of its array.
    return Array.from({ length: count }, (_, i) => numbers.subarray(i * size, (i + 1) * size) as T);
  });
}

/** Names of the seams that a state has numbers for, in the order of the table. */
export function seamsIn(state: Partial<Record<SeamName, unknown>>): SeamName[] {
  return SEAM_NAMES.filter((name) => state[name] !== undefined);
}

/** The numbers that a layer uses; the one map of the network serves every layer. */
export function ofLayer<T>(maps: readonly T[], layer: number): T {
  const found = maps.length === 1 ? maps[0] : maps[layer];
  if (found === undefined) throw new Error(`no map for layer ${layer}`);
  return found;
}

/** The rotations of SpinQuant (figure 1 of the paper) at their seams, and QuaRot's transform across heads. */
export interface SpinQuantRotations {
  readonly r1: boolean;
  readonly r2: boolean;
  /** True where each key/value head has an R2 of its own, instead of one for the heads of a layer; false where absent. */
  readonly r2PerHead?: boolean;
  readonly r3: HadamardTransform | null;
  readonly r4: HadamardTransform | null;
  readonly acrossHeads?: HadamardTransform | null;
}

export function spinQuantMaps(rotations: SpinQuantRotations): SeamMaps {
  const { r1, r2, r2PerHead = false, r3, r4, acrossHeads } = rotations;
  return {
    ...(r1 && { residual: { kind: 'dense' } }),
    ...(r2 && { value: { kind: r2PerHead ? 'each-head' : 'heads' } }),
    ...(acrossHeads && { 'across-heads': { kind: 'across-heads', transform: acrossHeads } }),
    ...(r3 && { 'query-key': { kind: 'hadamard', transform: r3 } }),
    ...(r4 && { 'up-down': { kind: 'hadamard', transform: r4 } }),
  };
}

/** @param r1 R1 [d, d]. @param r2 R2 [h, h] of each layer, or of each key/value head of each layer. */
export function spinQuantState(r1: Float32Array | null, r2: readonly Float32Array[] | null): SeamState {
  return { ...(r1 && { residual: [r1] }), ...(r2 && { value: r2 }) };
}
