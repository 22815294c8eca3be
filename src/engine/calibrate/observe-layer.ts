import type { Value } from '../graph/graph.ts';
import { type ActivationQuantizer, fakeQuantize } from '../graph/kernels/fake-quantize.ts';
import { mul, sub } from '../graph/ops/elementwise.ts';
import { reduceSum } from '../graph/ops/reduce.ts';
import { Program } from '../graph/program.ts';
import type { ObservedSite } from '../network/layer.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerQuantizers, LayerShape, RotationSites } from '../network/layer-shape.ts';
import { FULL_PRECISION, NO_ROTATION } from '../network/layer-shape.ts';
import { IDENTITY, type SideTransform, timesTransform } from '../network/side-transform.ts';
import type { Runtime } from '../runtime/types.ts';

export type Side = 'before' | 'after';
/** Output names of the observing program. */
export const rowsName = (site: ObservedSite, side: Side): string => `${site}.${side}`;
export const noiseName = (site: ObservedSite, side: Side): string => `${site}.${side}.noise`;

/**
 * x → y of a plain full-precision layer, with every site's tensor before and after its rotation [T, channels] and the
 * squared error Σ(Q(x) − x)² of the experiment's quantizer on both.
 */
export function compileObserved(runtime: Runtime, shape: LayerShape, types: LayerTypes): Promise<Program> {
  const { quantizers, rotations } = shape;
  const plain: LayerShape = { ...shape, quantizers: FULL_PRECISION, rotations: NO_ROTATION };
  const observed: [ObservedSite, Value][] = [];
  const { graph, y } = layerExpression(plain, types, 'plain', false, 'float32', (site, value) => {
    observed.push([site, value]);
  });
  const { hiddenSize, headDim } = shape.config;
  const r1 = rotations.r1 ? graph.input('r1', [hiddenSize, hiddenSize]) : null;
  const r2 = rotations.r2 ? graph.input('r2', [headDim, headDim]) : null;
  const outputs: Record<string, Value> = { y };
  for (const [site, value] of observed) {
    const quantizer = siteQuantizer(site, quantizers);
    const sides = { before: value, after: timesTransform(value, siteTransform(site, rotations, r1, r2)) };
    for (const side of ['before', 'after'] as const) {
      outputs[rowsName(site, side)] = sides[side];
      if (quantizer) outputs[noiseName(site, side)] = squaredError(sides[side], quantizer);
    }
  }
  return Program.compile(runtime, graph, outputs);
}

function siteTransform(
  site: ObservedSite,
  { r3, r4 }: RotationSites,
  r1: Value | null,
  r2: Value | null,
): SideTransform {
  switch (site) {
    case 'attention-input':
    case 'mlp-input':
      return r1 ? { kind: 'dense', matrix: r1 } : IDENTITY;
    case 'value':
    case 'o-input':
      return r2 ? { kind: 'heads', matrix: r2 } : IDENTITY;
    case 'query':
    case 'key':
      return r3 ? { kind: 'hadamard', transform: r3 } : IDENTITY;
    case 'down-input':
      return r4 ? { kind: 'hadamard', transform: r4 } : IDENTITY;
  }
}

/** Null where nothing is quantized: queries always, others at 16 bits. */
export function siteQuantizer(site: ObservedSite, quantizers: LayerQuantizers): ActivationQuantizer | null {
  const { input, outputInput, downInput, keys, values } = quantizers;
  const bySite: Record<ObservedSite, ActivationQuantizer | null> = {
    'attention-input': input,
    'mlp-input': input,
    'o-input': outputInput,
    'down-input': downInput,
    key: keys,
    value: values,
    query: null,
  };
  const quantizer = bySite[site];
  return quantizer && quantizer.bits < 16 ? quantizer : null;
}

function squaredError(x: Value, quantizer: ActivationQuantizer): Value {
  const error = sub(fakeQuantize(x, quantizer), x);
  return reduceSum(mul(error, error), [0, 1], false);
}
