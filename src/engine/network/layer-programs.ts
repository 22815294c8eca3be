import { gradients } from '../autodiff/gradients.ts';
import { fakeQuantizeWeight, quantizeWithRatio, rowCodes } from '../graph/fused/weight-quantize.ts';
import { Graph, type Real, type Value } from '../graph/graph.ts';
import { Program } from '../graph/program.ts';
import type { Runtime } from '../runtime/types.ts';
import { type AttentionTables, buildLayer, type SiteObserver } from './layer.ts';
import {
  LayerInputs,
  type LayerTypes,
  LINEAR_ROLES,
  type LinearRole,
  preparedName,
  scaleName,
} from './layer-inputs.ts';
import type { LayerShape } from './layer-shape.ts';
import { mergedSites, plainSites, unrotatedSites, weightBases } from './linear-sites.ts';
import { rotateWeight } from './rotated-linear.ts';
import { type Keep, type KeptName, keptValues, type TapeLevel } from './tape.ts';

/**
 * plain: the checkpoint as it is. merged: rotations and rounding are in the weights, as deployed.
 * unrotated: 16-bit weights, activations rotated at their quantizers only (cheap learning).
 */
export type NetworkMode = 'plain' | 'merged' | 'unrotated';

/** A layer's expression with its graph inputs. */
export interface LayerExpression {
  readonly graph: Graph;
  readonly x: Value;
  readonly y: Value;
  readonly r1: Value | null;
  readonly r2: Value | null;
  readonly kept: ReadonlyMap<KeptName, Value>;
}

/** Build y = layer(x) in a graph of its own; x and y are [B·S, d]. */
export function layerExpression(
  shape: LayerShape,
  types: LayerTypes,
  mode: NetworkMode,
  learn: boolean,
  real: Real = 'float32',
  observe: SiteObserver = () => undefined,
): LayerExpression {
  const graph = new Graph(real);
  const { config, batch, sequence } = shape;
  const x = graph.input('x', [batch * sequence, config.hiddenSize]);
  const inputs = new LayerInputs(graph, shape, types);
  const kept = new Map<KeptName, Value>();
  const keep: Keep = (name, value) => kept.set(name, value);
  const sites = {
    plain: () => plainSites(inputs, keep),
    merged: () => mergedSites(inputs, shape, learn, keep),
    unrotated: () => unrotatedSites(inputs, shape, keep),
  }[mode]();
  const tables: AttentionTables = {
    cos: graph.input('cos', [sequence, config.headDim / 2]),
    sin: graph.input('sin', [sequence, config.headDim / 2]),
    qNorm: inputs.optional('qNorm'),
    kNorm: inputs.optional('kNorm'),
  };
  const y = buildLayer(x, shape, sites, tables, { observe, keep });
  return { graph, x, y, r1: inputs.r1, r2: inputs.r2, kept };
}

/** x → y and, for a backward pass, the values that `level` keeps. */
export function compileForward(
  runtime: Runtime,
  shape: LayerShape,
  types: LayerTypes,
  mode: NetworkMode,
  level: TapeLevel,
): Promise<Program> {
  const { graph, y, kept } = layerExpression(shape, types, mode, false);
  const outputs = { y, ...Object.fromEntries(keptValues(kept, level)) };
  return Program.compile(runtime, graph, outputs, { precision: shape.precision });
}

/** x, dy and what `level` kept → dx and, where present, r1Gradient [d, d], r2Gradient [h, h]. Recomputes the rest. */
export function compileBackward(
  runtime: Runtime,
  shape: LayerShape,
  types: LayerTypes,
  mode: NetworkMode,
  level: TapeLevel,
): Promise<Program> {
  const { graph, x, y, r1, r2, kept } = layerExpression(shape, types, mode, true);
  const dy = graph.input('dy', y.dims);
  const wanted = [x, ...(r1 ? [r1] : []), ...(r2 ? [r2] : [])];
  const found = new Map(gradients([[y, dy]], wanted).map((gradient, index) => [wanted[index]!, gradient]));
  const cut = new Map([...keptValues(kept, level)].map(([name, value]) => [value, name]));
  return Program.compile(
    runtime,
    graph,
    {
      dx: found.get(x) ?? null,
      r1Gradient: (r1 && found.get(r1)) ?? null,
      r2Gradient: (r2 && found.get(r2)) ?? null,
    },
    { cut, precision: shape.precision },
  );
}

/** Clip ratios of Ŵ: searched inside and forgotten, searched and given out, or taken in. */
export type ClipRatios = 'inside' | 'out' | 'in';

/** Input or output name of a weight's clip ratios [out, groups]. */
const RATIO = '.ratio';
const ratioName = (role: LinearRole): string => role + RATIO;
export const isRatio = (name: string): boolean => name.endsWith(RATIO);

/** Checkpoint weights → Ŵ = Q(Lᵀ W A) for all seven matrices, by graph output name; as codes and scales if asked. */
export function prepareExpression(
  shape: LayerShape,
  types: LayerTypes,
  real: Real = 'float32',
  ratios: ClipRatios = 'inside',
): { graph: Graph; outputs: Record<string, Value> } {
  const graph = new Graph(real);
  const inputs = new LayerInputs(graph, shape, types);
  const bases = weightBases(inputs, shape);
  const outputs = LINEAR_ROLES.flatMap((role): [string, Value][] => {
    const { left, right } = bases[role];
    const rotated = rotateWeight(inputs.weight(role), left, right);
    const quantizer = shape.quantizers.weights;
    if (ratios === 'inside' && !shape.weightCodes)
      return [[preparedName(role), fakeQuantizeWeight(rotated, quantizer)]];
    const [rows, width] = rotated.dims as [number, number];
    const dims = [rows, width / (quantizer.group || width)];
    const given = ratios === 'in' ? graph.input(ratioName(role), dims) : null;
    const [rounded, ratio] = quantizeWithRatio(rotated, quantizer, given);
    const prepared = shape.weightCodes
      ? codesOf(role, rowCodes(rotated, rounded, ratio, quantizer))
      : [[preparedName(role), rounded] satisfies [string, Value]];
    return ratios === 'out' ? [...prepared, [ratioName(role), ratio]] : prepared;
  });
  return { graph, outputs: Object.fromEntries(outputs) };
}

function codesOf(role: LinearRole, { codes, scale }: ReturnType<typeof rowCodes>): [string, Value][] {
  return [
    [preparedName(role), codes],
    [scaleName(role), scale],
  ];
}

export function compilePrepare(
  runtime: Runtime,
  shape: LayerShape,
  types: LayerTypes,
  ratios: ClipRatios,
): Promise<Program> {
  const { graph, outputs } = prepareExpression(shape, types, 'float32', ratios);
  return Program.compile(runtime, graph, outputs, { precision: shape.precision });
}
