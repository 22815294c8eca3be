/** How fast this machine is, by a short measurement of what networks consist of. */
import { float32 } from '../../../protocol/tensor.ts';
import { Graph } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Program, Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { Work } from '../../network/work.ts';

export interface Machine {
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly secondsPerCall: number;
}

/** Each of three measurements takes so long. */
const MEASURED_MS = 80;
/** Rows of the measured product: enough for its full speed, and few enough to end before other work interrupts it. */
const ROWS = 256;

/** Measurements of this process: another one of the same shapes would tell the same. */
const measured = new Map<string, Promise<Machine>>();

/** Measures a product of this model's shapes, a pass over its result, and a run that computes next to nothing. */
export function measureMachine(
  cache: ProgramCache,
  { hiddenSize: d, intermediateSize: f }: ModelConfig,
): Promise<Machine> {
  const shape = { rows: ROWS, d, f };
  const key = JSON.stringify([shape, cache.runtime.description]);
  const known = measured.get(key) ?? measure(cache, shape);
  measured.set(key, known);
  return known;
}

/** Seconds in which a step's programs are compiled and its files opened. */
const BEGINNING_SECONDS = 0.1;
/** Products of a network reach about this share of the speed of one that is measured alone. */
const SHARE_OF_PRODUCT = 0.5;

/** Seconds that a step's work takes. */
export function secondsOf({ flops, bytes, calls }: Work, machine: Machine): number {
  const products = flops / (SHARE_OF_PRODUCT * machine.flopsPerSecond);
  return BEGINNING_SECONDS + products + bytes / machine.bytesPerSecond + calls * machine.secondsPerCall;
}

async function measure(cache: ProgramCache, { rows, d, f }: ProductShape): Promise<Machine> {
  const call = await secondsOfRun(await cache.get(PASS, { rows: 1, f: 1 }), { x: filled(1, 1) });
  const product = await secondsOfRun(await cache.get(PRODUCT, { rows, d, f }), {
    x: filled(rows, d),
    w: filled(d, f),
  });
  const pass = await secondsOfRun(await cache.get(PASS, { rows, f }), { x: filled(rows, f) });
  // The product of a tiny model may take no longer than a run does.
  const beyond = (seconds: number): number => Math.max(seconds - call, seconds / 10);
  return {
    flopsPerSecond: (2 * rows * d * f) / beyond(product),
    bytesPerSecond: (2 * rows * f * Float32Array.BYTES_PER_ELEMENT) / beyond(pass),
    secondsPerCall: call,
  };
}

/** The least of some runs: what else runs on the machine makes single ones longer by far. */
async function secondsOfRun(program: Program<{ y: Reals }>, inputs: Record<string, Reals>): Promise<number> {
  let into = await program.run(inputs);
  let least = Number.POSITIVE_INFINITY;
  const began = performance.now();
  do {
    const from = performance.now();
    into = await program.run(inputs, undefined, into);
    least = Math.min(least, performance.now() - from);
  } while (performance.now() - began < MEASURED_MS);
  return least / 1000;
}

const filled = (rows: number, columns: number): Reals =>
  float32([rows, columns], new Float32Array(rows * columns).fill(0.5));

interface ProductShape {
  readonly rows: number;
  readonly d: number;
  readonly f: number;
}

/** x [rows, d] · w [d, f]. */
const PRODUCT: ProgramKind<ProductShape, { y: Reals }> = {
  name: 'measured-product',
  build({ rows, d, f }) {
    const graph = new Graph();
    return { graph, outputs: { y: gemm(graph.input('x', [rows, d]), graph.input('w', [d, f])) } };
  },
};

/** x + x [rows, f]. */
const PASS: ProgramKind<Omit<ProductShape, 'd'>, { y: Reals }> = {
  name: 'measured-pass',
  build({ rows, f }) {
    const graph = new Graph();
    const x = graph.input('x', [rows, f]);
    return { graph, outputs: { y: add(x, x) } };
  },
};
