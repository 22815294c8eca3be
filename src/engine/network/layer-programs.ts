import { LINEARS, type Linear, type SeamName } from '../../protocol/block.ts';
import { gradients } from '../autodiff/gradients.ts';
import type { PastTokens } from '../graph/fused/cached-attention.ts';
import { blocksOf, type CacheForm, packedLayout } from '../graph/fused/pack-cache.ts';
import type { CacheForms, PackedPair, PackedPast } from '../graph/fused/packed-attention.ts';
import {
  fakeQuantizeWeight,
  gridCodes,
  quantizeWithRatio,
  rowCodes,
  type WeightQuantizer,
} from '../graph/fused/weight-quantize.ts';
import { Graph, type Real, type Value } from '../graph/graph.ts';
import { cast, reshape } from '../graph/ops/shape.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { cachedNumbers, cacheFormsOf } from './cache-form.ts';
import { type AttentionTables, buildLayer, type SiteObserver } from './layer.ts';
import type { GrownRows } from './layer-cache.ts';
import { LayerInputs, type LayerTypes, preparedName, scaleName } from './layer-inputs.ts';
import {
  type BatchShape,
  type LayerQuantizers,
  type LayerShape,
  residualRows,
  weightQuantizer,
} from './layer-shape.ts';
import { allWeightBases, attentionTables, mergedSites, plainSites, unrotatedSites } from './linear-sites.ts';
import { PACKED_NAMES } from './packed-rows.ts';
import { hasCodesBeside, isCodes, isPacked, packedOutputs } from './packed-weights.ts';
import { rotateWeight } from './rotated-linear.ts';
import { seamsIn } from './seams.ts';
import { type Keep, type KeptName, keptValues, type TapeLevel } from './tape.ts';

/**
 * plain: the checkpoint as it is. merged: rotations and rounding are in the weights, as deployed.
 * unrotated: 16-bit weights, activations rotated at their quantizers only (cheap learning).
 */
export type NetworkMode = 'plain' | 'merged' | 'unrotated';

/** {@link GrownRows} while they are computed; null where the cache has others. */
type GrownValues = { readonly [Name in keyof GrownRows]-?: Value | null };

const NOTHING_GROWN: GrownValues = {
  keys: null,
  values: null,
  keyCodes: null,
  keyScales: null,
  valueCodes: null,
  valueScales: null,
};

/** A layer's expression with its graph inputs. */
export interface LayerExpression {
  readonly graph: Graph;
  readonly x: Value;
  readonly y: Value;
  readonly inputs: LayerInputs;
  /** The maps that are given at run time, by seam. */
  readonly maps: Partial<Record<SeamName, Value>>;
  readonly kept: ReadonlyMap<KeptName, Value>;
  /** What the tokens add to the cache, by output name; null without one. */
  readonly grown: GrownValues | null;
}

/**
 * Build y = layer(x) in a graph of its own; x and y are [B·S, d], or [rows, d] where tokens share rows. With a cache
 * where the shape has room for one.
 */
export function layerExpression(
  shape: LayerShape,
  types: LayerTypes,
  mode: NetworkMode,
  learn: boolean,
  real: Real = 'float32',
  observe: SiteObserver = () => undefined,
): LayerExpression {
  const graph = new Graph(real);
  const { config, batch, sequence, capacity } = shape;
  const x = graph.input('x', [residualRows(shape), config.hiddenSize]);
  const inputs = new LayerInputs(graph, shape, types);
  const kept = new Map<KeptName, Value>();
  const keep: Keep = (name, value) => kept.set(name, value);
  const sites = {
    plain: () => plainSites(inputs, keep),
    merged: () => mergedSites(inputs, shape, learn, keep),
    unrotated: () => unrotatedSites(inputs, shape, learn, keep),
  }[mode]();
  const tokenRows = shape.rows !== undefined && {
    rowOfToken: graph.input('rowOfToken', [batch * sequence], 'int64'),
    tokenOfRow: graph.input('tokenOfRow', [shape.rows], 'int64'),
  };
  const tables: AttentionTables = {
    ...attentionTables(graph, inputs, shape, mode === 'merged'),
    ...tokenRows,
  };
  const past = capacity === undefined ? {} : pastOf(graph, shape, capacity);
  let grown: LayerExpression['grown'] = null;
  const cached = (keys: Value, values: Value): void => {
    grown = { ...NOTHING_GROWN, keys, values };
  };
  const packed = (tokens: PackedPair): void => {
    grown = grownOutputs(tokens);
  };
  const y = buildLayer(x, shape, sites, { ...tables, ...past }, { observe, keep, cached, packed });
  return { graph, x, y, inputs, maps: inputs.givenMaps, kept, grown };
}

/** The tokens before these, as the cache of these quantizers holds them. */
function pastOf(
  graph: Graph,
  shape: LayerShape,
  capacity: number,
): Pick<AttentionTables, 'past' | 'packedPast' | 'positions'> {
  const forms = cacheFormsOf(shape.quantizers);
  if (!forms) return { past: pastInputs(graph, shape, capacity) };
  const dims = [capacity, shape.config.headDim / 2];
  const { cos, sin } = POSITION_NAMES;
  return {
    packedPast: packedInputs(graph, shape, forms, capacity),
    ...(readsPositions(shape.quantizers) && {
      positions: { cos: graph.input(cos, dims), sin: graph.input(sin, dims) },
    }),
  };
}

/** Inputs with the tables of all positions. */
export const POSITION_NAMES = { cos: 'positionCos', sin: 'positionSin' } as const;

/** True where packed keys have an offset, which comes back in the scores of every position. */
export function readsPositions(quantizers: LayerQuantizers): boolean {
  return quantizers.keyOffset !== undefined && cacheFormsOf(quantizers) !== null;
}

/** Codes and scales of keys and values, and their number. */
function packedInputs(
  graph: Graph,
  { batch, config }: LayerShape,
  forms: CacheForms,
  capacity: number,
): PackedPast {
  const tokens = (form: CacheForm, role: 'key' | 'value') => {
    const { blockBytes, blockScales } = packedLayout(config.headDim, form);
    const dims = [batch, config.kvHeads, blocksOf(capacity)];
    const { pastCodes, pastScales } = PACKED_NAMES[role];
    const codes = graph.input(pastCodes, [...dims, blockBytes], 'int8');
    return { codes, scales: graph.input(pastScales, [...dims, blockScales]) };
  };
  const [keys, values] = [tokens(forms.keys, 'key'), tokens(forms.values, 'value')];
  return { keys, values, length: graph.input('length', [1], 'int64') };
}

function grownOutputs({ keys, values }: PackedPair): GrownValues {
  return {
    ...NOTHING_GROWN,
    keyCodes: keys.codes,
    keyScales: keys.scales,
    valueCodes: values.codes,
    valueScales: values.scales,
  };
}

/** Keys and values [B, G, C, h], and their number. */
function pastInputs(graph: Graph, { batch, config, quantizers }: LayerShape, capacity: number): PastTokens {
  const dims = [batch, config.kvHeads, capacity, config.headDim];
  const dtype = cachedNumbers(quantizers);
  const [keys, values] = [graph.input('pastKeys', dims, dtype), graph.input('pastValues', dims, dtype)];
  return { keys, values, length: graph.input('length', [1], 'int64') };
}

/** Everything that decides the programs of a layer. */
export interface LayerSpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  readonly mode: NetworkMode;
  /** The level of the tape. */
  readonly level: TapeLevel;
  /** Seams whose maps have derivatives; absent: all that are given. */
  readonly moving?: readonly SeamName[] | undefined;
}

/** x → y and, for a backward pass, the values that `level` keeps. */
export const FORWARD: ProgramKind<LayerSpec, { y: Reals }> = {
  name: 'forward',
  build({ shape, types, mode, level }) {
    const { graph, y, kept } = layerExpression(shape, types, mode, false);
    const outputs = { y, ...Object.fromEntries(keptValues(kept, level)) };
    return { graph, outputs, precision: shape.precision };
  },
};

export type DecodeOutputs = { y: Reals } & GrownRows;

/** x with the cache before it → y, and the keys and values that the cache grows by. */
export const DECODE: ProgramKind<Omit<LayerSpec, 'level'>, DecodeOutputs> = {
  name: 'decode',
  build({ shape, types, mode }) {
    const { graph, y, grown } = layerExpression(shape, types, mode, false);
    if (!grown) throw new Error('a layer that decodes needs a cache');
    return { graph, outputs: { y, ...grown }, precision: shape.precision };
  },
};

/** Name of the output with ∂loss/∂map of a seam. */
export const gradientName = (seam: SeamName): GradientName => `${seam}.gradient`;
export type GradientName = `${SeamName}.gradient`;

export type BackwardOutputs = { dx: Reals } & { [Name in GradientName]?: Reals };

/** x, dy and what `level` kept → dx and the derivative of each map that is given. Computes the rest again. */
export const BACKWARD: ProgramKind<LayerSpec, BackwardOutputs> = {
  name: 'backward',
  build({ shape, types, mode, level, moving }) {
    const { graph, x, y, maps, kept } = layerExpression(shape, types, mode, true);
    const seams = seamsIn(maps).filter((seam) => moving?.includes(seam) ?? true);
    const [dx = null, ...derivatives] = gradients(
      [[y, graph.input('dy', y.dims)]],
      [x, ...seams.flatMap((seam) => maps[seam] ?? [])],
    );
    const named = seams.map((seam, index) => [gradientName(seam), derivatives[index] ?? null]);
    const cut = new Map([...keptValues(kept, level)].map(([name, value]) => [value, name]));
    return { graph, outputs: { dx, ...Object.fromEntries(named) }, cut, precision: shape.precision };
  },
};

/** Clip ratios of Ŵ: searched inside and forgotten, searched and given out, or taken in. */
export type ClipRatios = 'inside' | 'out' | 'in';

/** Input or output name of a weight's clip ratios [out, groups]. */
const RATIO = '.ratio';
const ratioName = (linear: Linear): string => linear + RATIO;
export const isRatio = (name: string): boolean => name.endsWith(RATIO);

/** Everything that decides a layer's weights. */
export interface PrepareSpec {
  readonly shape: Omit<LayerShape, keyof BatchShape | 'window' | 'activationCodes'>;
  readonly types: LayerTypes;
  readonly ratios: ClipRatios;
}

/** Checkpoint weights → Ŵ = Q(Lᵀ W A) for all seven matrices, by graph output name, in the form that the shape has. */
export function prepareExpression(
  { shape, types, ratios }: PrepareSpec,
  real: Real = 'float32',
): { graph: Graph; outputs: Record<string, Value> } {
  const graph = new Graph(real);
  const inputs = new LayerInputs(graph, shape, types);
  const bases = allWeightBases(inputs);
  const outputs = LINEARS.flatMap((linear): [string, Value][] => {
    const { left, right } = bases[linear];
    const rotated = rotateWeight(inputs.weight(linear), left, right);
    const quantizer = weightQuantizer(linear, shape.quantizers);
    const isNumbers = !isPacked(linear, shape) && !isCodes(linear, shape);
    if (isNumbers && (ratios === 'inside' || !searchesRatio(quantizer)))
      return [[preparedName(linear), fakeQuantizeWeight(rotated, quantizer)]];
    const dims = [rotated.dim(0), rotated.dim(1) / (quantizer.group || rotated.dim(1))];
    const given = ratios === 'in' ? graph.input(ratioName(linear), dims) : null;
    const [rounded, ratio] = quantizeWithRatio(rotated, quantizer, given);
    const numbers: [string, Value][] = [[preparedName(linear), rounded]];
    const packed = (): [string, Value][] => {
      const grid = gridCodes(rotated, rounded, ratio, quantizer);
      if (hasCodesBeside(linear, shape)) return packedWithCodes(linear, grid, shape.quantizers);
      const own = packedOutputs(linear, grid, shape.quantizers);
      return shape.weightForm === 'packed' ? own : [...own, ...numbers];
    };
    const prepared = isNumbers
      ? numbers
      : isPacked(linear, shape)
        ? packed()
        : codesOf(linear, rowCodes(rotated, rounded, ratio, quantizer));
    return ratios === 'out' ? [...prepared, [ratioName(linear), ratio]] : prepared;
  });
  return { graph, outputs: Object.fromEntries(outputs) };
}

/** True for a weight whose clip ratios are searched. */
export function searchesRatio({ bits, clipSearch }: WeightQuantizer): boolean {
  return bits < 16 && clipSearch;
}

function codesOf(linear: Linear, { codes, scale }: ReturnType<typeof rowCodes>): [string, Value][] {
  return [
    [preparedName(linear), codes],
    [scaleName(linear), scale],
  ];
}

/** A weight with one scale for each row and without zero points: packed, and as codes of a byte. */
function packedWithCodes(
  linear: Linear,
  { codes, scale, zero }: ReturnType<typeof gridCodes>,
  quantizers: LayerQuantizers,
): [string, Value][] {
  const bytes = cast(codes, 'int8');
  return [
    ...packedOutputs(linear, { codes: bytes, scale, zero }, quantizers),
    [preparedName(linear), bytes],
    [scaleName(linear), reshape(scale, [scale.dim(0)])],
  ];
}

export const PREPARE: ProgramKind<PrepareSpec> = {
  name: 'prepare',
  build(spec) {
    return { ...prepareExpression(spec), precision: spec.shape.precision };
  },
};
