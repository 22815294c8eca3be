/** A transformer block at full precision in float64 loops, with the map and the rounding of one site. */
import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { RoundedSite } from '../../src/protocol/block.ts';

export type Matrix = readonly (readonly number[])[];

/** Weights [out, in], biases and gains of a layer of the checkpoint, by name; empty where there are none. */
export type LoopLayer = (name: string) => { readonly matrix: Matrix; readonly row: readonly number[] };

/** Changes a row of a site's channels, per head where heads have maps of their own. */
export type Change = (row: readonly number[]) => readonly number[];

export interface LoopSite {
  readonly site: RoundedSite;
  readonly change: Change;
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const plus = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((value, i) => value + (b[i] ?? 0));

/** x M. */
export const timesMatrix = (x: readonly number[], matrix: Matrix): number[] =>
  (matrix[0] ?? []).map((_, j) => x.reduce((sum, value, i) => sum + value * matrix[i]![j]!, 0));

export const transposed = (matrix: Matrix): number[][] =>
  (matrix[0] ?? []).map((_, j) => matrix.map((row) => row[j]!));

function normed(x: readonly number[], epsilon: number): number[] {
  const power = dot(x, x) / x.length;
  return x.map((value) => value / Math.sqrt(power + epsilon));
}

const headsOf = (row: readonly number[], size: number): number[][] =>
  Array.from({ length: row.length / size }, (_, head) => row.slice(head * size, (head + 1) * size));

function rotary(head: readonly number[], position: number, theta: number): number[] {
  const half = head.length / 2;
  return head.map((value, i) => {
    const angle = position * theta ** (-(i % half) / half);
    const other = i < half ? -head[i + half]! : head[i - half]!;
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/**
 * The outputs of the linear layers that a change at one site reaches, and y, of one sequence x [S, d].
 * @param changed null for none.
 */
export function layerInLoops(
  x: Matrix,
  layer: LoopLayer,
  config: ModelConfig,
  changed: LoopSite | null,
): { readonly outputs: (site: RoundedSite) => Matrix; readonly y: Matrix } {
  const { headDim, rmsNormEps: epsilon, ropeTheta, heads, kvHeads } = config;
  const at = (site: RoundedSite, row: readonly number[]): readonly number[] =>
    changed?.site === site ? changed.change(row) : row;
  const linear = (name: string, row: readonly number[]): number[] =>
    plus(
      layer(name).matrix.map((weights) => dot(weights, row)),
      layer(`${name}Bias`).row,
    );
  const gained = (name: string, row: readonly number[]): number[] =>
    row.map((value, i) => value * layer(name).row[i]!);
  const read = x.map((row) => gained('inputNorm', at('attention-input', normed(row, epsilon))));
  const [q, k, v] = ['q', 'k', 'v'].map((name) => read.map((row) => linear(name, row))) as [
    number[][],
    number[][],
    number[][],
  ];
  const bias = headsOf(layer('kBias').row.length > 0 ? layer('kBias').row : k[0]!.map(() => 0), headDim);
  const queries = q.map((row, t) => headsOf(row, headDim).map((head) => rotary(head, t, ropeTheta)));
  // The bias is taken out of keys before they are rounded, and comes back turned.
  const keys = k.map((row, t) =>
    headsOf(row, headDim).map((head, g) => {
      const constant = bias[g]!;
      const moved = rotary(
        head.map((value, i) => value - constant[i]!),
        t,
        ropeTheta,
      );
      return plus(at('key', moved), rotary(constant, t, ropeTheta));
    }),
  );
  const values = v.map((row) => headsOf(row, headDim).map((head) => at('value', head)));
  const mixed = x.map((_, t) =>
    Array.from({ length: heads }, (__, head) => {
      const group = Math.floor((head * kvHeads) / heads);
      const scores = keys
        .slice(0, t + 1)
        .map((key) => dot(queries[t]![head]!, key[group]!) / Math.sqrt(headDim));
      const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return Array.from({ length: headDim }, (___, i) =>
        weights.reduce((sum, weight, s) => sum + (weight / total) * values[s]![group]![i]!, 0),
      );
    }),
  );
  const o = mixed.map((row) =>
    linear(
      'o',
      row.flatMap((head) => at('o-input', head)),
    ),
  );
  const attended = x.map((row, t) => plus(row, o[t]!));
  const between = attended.map((row) => gained('postNorm', at('mlp-input', normed(row, epsilon))));
  const [gate, up] = ['gate', 'up'].map((name) => between.map((row) => linear(name, row))) as [
    number[][],
    number[][],
  ];
  const product = gate.map((row, t) => row.map((value, i) => (value / (1 + Math.exp(-value))) * up[t]![i]!));
  const down = product.map((row) => linear('down', at('down-input', row)));
  const joined = (...parts: Matrix[]): number[][] => x.map((_, t) => parts.flatMap((part) => part[t]!));
  const outputs: Readonly<Record<RoundedSite, Matrix>> = {
    'attention-input': joined(q, k, v),
    key: o,
    value: o,
    'o-input': o,
    'mlp-input': joined(gate, up),
    'down-input': down,
  };
  return { outputs: (site) => outputs[site], y: attended.map((row, t) => plus(row, down[t]!)) };
}
