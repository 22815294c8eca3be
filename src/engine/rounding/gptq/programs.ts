import { quantizeWithRatio, weightGrid } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, mul, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { Program } from '../../graph/program.ts';
import { LayerInputs, type LayerTypes, type LinearRole } from '../../network/layer-inputs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import { weightBases } from '../../network/linear-sites.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import type { Runtime } from '../../runtime/types.ts';

/** Second moments are estimates from a sample: what products in two pieces are off by is far below their noise. */
const ESTIMATED = { precision: 'bfloat16x2' } as const;

/**
 * A weight in its new bases, W' = Lᵀ W A [out, in], its grid `scale` and `zero` [out, groups] of codes of a byte, as
 * rounding to nearest has it, and W' rounded to nearest on it.
 */
export function compileRotatedWeight(
  runtime: Runtime,
  shape: LayerShape,
  types: LayerTypes,
  role: LinearRole,
): Promise<Program> {
  const graph = new Graph();
  const inputs = new LayerInputs(graph, shape, types);
  const { left, right } = weightBases(inputs, shape)[role];
  const w = rotateWeight(inputs.weight(role), left, right);
  const quantizer = shape.quantizers.weights;
  const [nearest, ratio] = quantizeWithRatio(w, quantizer, null);
  return Program.compile(runtime, graph, { w, nearest, ...weightGrid(w, ratio, quantizer) });
}

/** XᵀX [n, n] for rows X [tokens, n]. */
export function compileMoment(runtime: Runtime, tokens: number, n: number): Promise<Program> {
  const graph = new Graph();
  const rows = graph.input('rows', [tokens, n]);
  return Program.compile(runtime, graph, { moment: gemm(rows, rows, { transA: true }) }, ESTIMATED);
}

/** sum + addend [n, n]. The result may be written over the sum: ONNX Runtime itself adds in place. */
export function compileSum(runtime: Runtime, n: number): Promise<Program> {
  const graph = new Graph();
  const next = add(graph.input('sum', [n, n]), graph.input('addend', [n, n]));
  return Program.compile(runtime, graph, { next });
}

/** Of all that a program of a layer is built from. */
export const programKey = (name: string, shape: LayerShape, types: LayerTypes): string =>
  `gptq ${name} ${JSON.stringify([shape, types])}`;

/** Energies of outputs x Eᵀ by row [out], diag(E H Eᵀ): for E = W, W − nearest and W − rounded, all [out, in]. */
export function compileErrors(runtime: Runtime, rows: number, columns: number): Promise<Program> {
  const graph = new Graph();
  const weight = (name: string): Value => graph.input(name, [rows, columns]);
  const [w, nearest, rounded] = [weight('w'), weight('nearest'), weight('rounded')];
  const moment = graph.input('moment', [columns, columns]);
  const energy = (e: Value): Value => reduceSum(mul(gemm(e, moment), e), [1], false);
  const outputs = { all: energy(w), byNearest: energy(sub(w, nearest)), byGptq: energy(sub(w, rounded)) };
  return Program.compile(runtime, graph, outputs, ESTIMATED);
}
