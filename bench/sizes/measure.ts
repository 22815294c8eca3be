/** One measurement in a process of its own, so that its peak memory is its own. Arguments and result are JSON. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { lossAndGradients } from '../../src/engine/learn/gradient-step.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { planMemory } from '../../src/engine/network/memory-plan.ts';
import { Network, type NetworkOptions } from '../../src/engine/network/network.ts';
import { ProgramCache } from '../../src/engine/network/programs.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';

export interface Measurement {
  readonly folder: string;
  readonly weightBits: number;
  readonly clipSearch: boolean;
  readonly sequences: number;
  readonly sequence: number;
  readonly steps: number;
  readonly threads: number;
  /** GB beyond the weights; null for none. */
  readonly memoryLimit: number | null;
}

export interface Measured {
  /** Per step. */
  readonly seconds: readonly number[];
  /** Processor time of all threads, which other work on the machine disturbs less. */
  readonly cpuSeconds: readonly number[];
  readonly peakBytes: number;
  readonly baseBytes: number;
  /** Of the mapped file. */
  readonly weightBytes: number;
  readonly losses: readonly number[];
}

function quantizersFor({ weightBits, clipSearch }: Measurement, headDim: number): LayerQuantizers {
  const token = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
  const head = { ...token, group: headDim, includeZero: false };
  return {
    weights: { bits: weightBits, symmetric: true, group: 0, clipSearch },
    input: token,
    outputInput: head,
    downInput: token,
    keys: { ...head, includeZero: true },
    values: head,
  };
}

const fileBytes = () => statSync(join(asked.folder, 'model.safetensors')).size;
const peak = () => process.resourceUsage().maxRSS * 1024;

const asked = JSON.parse(process.argv[2]!) as Measurement;
const checkpoint = await openCheckpoint(asked.folder);
const { config } = checkpoint;
const runtime = await createRuntime({ kernels: 'auto', threads: asked.threads });
const baseBytes = peak();
const options: NetworkOptions = {
  mode: asked.weightBits >= 16 ? 'unrotated' : 'merged',
  quantizers: quantizersFor(asked, config.headDim),
  sites: {
    r1: true,
    r2: true,
    r3: planHadamard(config.headDim),
    r4: planHadamard(config.intermediateSize),
  },
  centreEmbedding: false,
  memory: planMemory(
    config,
    { sequence: asked.sequence, learns: true, prepares: asked.weightBits < 16 },
    asked.memoryLimit === null ? null : asked.memoryLimit * 1e9,
  ),
};
const network = new Network(new ProgramCache(runtime), checkpoint, options);
const { hiddenSize: hidden, headDim, layers, vocabSize } = config;
const rotations = drawRotations({ hidden, headDim, layers }, { r1: 'hadamard', r2: 'hadamard' }, new Rng(0));
const random = new Rng(1);
const batch = Array.from({ length: asked.sequences }, () =>
  Int32Array.from({ length: asked.sequence }, () => Math.floor(random.uniform() * vocabSize)),
);
const seconds: number[] = [];
const losses: number[] = [];
const cpuSeconds: number[] = [];
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
for (let step = 0; step < asked.steps; step++) {
  const began = performance.now();
  const cpuBefore = cpu();
  network.setRotations(rotations);
  const { loss } = await lossAndGradients(
    network,
    batch,
    Math.floor(network.memory.tokensAtOnce / asked.sequence),
  );
  losses.push(loss);
  seconds.push((performance.now() - began) / 1000);
  cpuSeconds.push(cpu() - cpuBefore);
}
const measured: Measured = {
  seconds,
  cpuSeconds,
  losses,
  peakBytes: peak(),
  baseBytes,
  weightBytes: fileBytes(),
};
console.log(JSON.stringify(measured));
