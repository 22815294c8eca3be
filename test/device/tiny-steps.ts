/**
 * Run as a process of its own, whose environment names the Vulkan driver: one learning step and a perplexity on a tiny
 * network, and quantizers alone, on the device of the first argument, printed as JSON. On a GPU every graph must run
 * there as a whole.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { measurePerplexity } from '../../src/engine/evaluate/perplexity.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { fakeQuantizeWeight } from '../../src/engine/graph/fused/weight-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { round } from '../../src/engine/graph/ops/elementwise.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { NetworkMode } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import {
  createRuntime,
  type DeviceKind,
  type Runtime,
  type RuntimeDevice,
} from '../../src/engine/runtime/index.ts';
import { cayleyStep } from '../../src/engine/transform/learning/cayley-sgd.ts';
import type { RoundingError } from '../../src/protocol/events.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { noise, randomTensor, tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

export interface TinySteps {
  readonly device: RuntimeDevice;
  readonly description: string;
  readonly cases: Readonly<Record<string, TinyCase>>;
  /** Outputs of quantizers, which a device must give to the bit. */
  readonly quantized: Readonly<Record<string, readonly number[]>>;
  /** GPTQ and rounding to nearest leave these errors at each linear layer of each block. */
  readonly rounding: readonly RoundingError[];
}

export interface TinyCase {
  readonly loss: number;
  readonly r1: readonly number[];
  readonly r2: readonly number[];
  /** R1 after a Cayley step. */
  readonly next: readonly number[];
  readonly perplexity: number;
}

const SEQUENCE = 12;
const BATCH = 2;

async function runCase(
  cache: ProgramCache,
  mode: NetworkMode,
  quantizers: (bits: number) => LayerQuantizers,
): Promise<TinyCase> {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { network, rotations } = rotatedNetwork(cache, checkpoint, {
    mode,
    quantizers: quantizers(mode === 'merged' ? 4 : 16),
  });
  const windows = differentWindows(checkpoint.config, 3, SEQUENCE);
  const { loss, gradients } = await lossAndGradients(network, windows.slice(0, BATCH), BATCH);
  const [r1] = gradients.residual!;
  const moved = await cayleyStep(cache, [rotations.r1!], [Float32Array.from(r1!)], 0.1);
  const measuring = measurePerplexity(network, { name: 'tiny', windows });
  let measured = await measuring.next();
  while (!measured.done) measured = await measuring.next();
  return {
    loss,
    r1: [...r1!],
    r2: gradients.value!.flatMap((gradient) => [...gradient]),
    next: [...moved.matrices[0]!],
    perplexity: measured.value.perplexity,
  };
}

async function quantizersAlone(runtime: Runtime): Promise<Record<string, number[]>> {
  const graph = new Graph();
  const x = graph.input('x', [16, 48]);
  const activation = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
  const program = await Program.compile(runtime, graph, {
    rounded: round(graph.input('halves', [64])),
    asymmetric: fakeQuantize(x, activation),
    groups: fakeQuantize(x, { ...activation, group: 8, includeZero: false }),
    symmetric: fakeQuantize(x, { ...activation, symmetric: true, clipRatio: 0.9 }),
    weights: fakeQuantizeWeight(x, { bits: 4, symmetric: true, group: 0, clipSearch: false }),
  });
  const halves = Float32Array.from({ length: 64 }, (_, i) => (i - 32) / 2);
  const out = await program.run({ x: randomTensor([16, 48], noise(3), 3), halves: float32([64], halves) });
  program.release();
  return Object.fromEntries(Object.entries(out).map(([name, { data }]) => [name, Array.from(data, Number)]));
}

async function roundingErrors(cache: ProgramCache): Promise<RoundingError[]> {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const weights = { bits: 4, symmetric: false, group: 8, clipSearch: false };
  const quantizers = { ...FULL_PRECISION, weights };
  const { network } = rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers });
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-tiny-'));
  const layers = new RoundedLayers(folder, 'tiny');
  const blocks = differentWindows(checkpoint.config, 6, SEQUENCE);
  const errors: RoundingError[] = [];
  for await (const event of roundWeights(cache, { network, blocks, options: PLAIN_GPTQ, layers }))
    if (event.type === 'rounding') errors.push(...event.errors);
  rmSync(folder, { recursive: true });
  return errors;
}

const device = process.argv[2] as DeviceKind | 'auto';
const checkpoint = await openCheckpoint(goldenFolder('llama'));
const runtime = await createRuntime({ device, kernels: 'composed', threads: 1, strict: true });
const cache = new ProgramCache(runtime);
const four = (bits: number) => tinyQuantizers(checkpoint.config, bits);
const cases = {
  'merged, 16 bits': await runCase(cache, 'merged', () => FULL_PRECISION),
  'merged, 4 bits': await runCase(cache, 'merged', four),
  'unrotated, 4 bits': await runCase(cache, 'unrotated', four),
};
const quantized = await quantizersAlone(runtime);
const rounding = await roundingErrors(cache);
await cache.release();
const { description } = runtime;
const found: TinySteps = { device: runtime.device, description, cases, quantized, rounding };
console.log(JSON.stringify(found));
runtime.close();
