/** Runs GPTQ on a checkpoint of few layers, in a separate process to measure its peak memory. It prints JSON. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { planMemory, preparedBytes } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { PLAIN_GPTQ } from '../../test/helpers/gptq-options.ts';
import { identities } from './identities.ts';
import { MemoryWatch, Stopwatch } from './watches.ts';

const MOMENTS = { work: 'GPTQ rounds them', without: 'quantization.weights.method to "rtn"' };

export interface RoundingAsked {
  readonly folder: string;
  readonly sequences: number;
  readonly sequence: number;
  readonly threads: number;
}

export interface RoundingMeasured {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** The peak of resident memory not mapped from files. */
  readonly anonymousBytes: number;
}

async function measure({ folder, sequences, sequence, threads }: RoundingAsked): Promise<RoundingMeasured> {
  const checkpoint = await openCheckpoint(folder);
  const { config } = checkpoint;
  const runtime = await createRuntime({ threads });
  const cache = new ProgramCache(runtime);
  const weights = { bits: 4, symmetric: true, group: 0, clipSearch: true };
  const network = new Network(cache, checkpoint, {
    mode: 'merged',
    quantizers: { ...FULL_PRECISION, weights },
    maps: spinQuantMaps({ r1: true, r2: true, r3: null, r4: planHadamard(config.intermediateSize) }),
    centreEmbedding: false,
    precision: 'bfloat16x2',
    memory: planMemory(
      config,
      { sequence, learns: false, prepared: preparedBytes(config), moments: MOMENTS },
      null,
    ),
  });
  network.setMaps(identities(config));
  const random = new Rng(1);
  const block = () => Int32Array.from({ length: sequence }, () => random.integer(config.vocabSize));
  const blocks = Array.from({ length: sequences }, block);
  const written = mkdtempSync(join(tmpdir(), 'spinquant-bench-'));
  const [watch, memory] = [new Stopwatch(), new MemoryWatch()];
  watch.start();
  const layers = new RoundedLayers(written, 'bench');
  for await (const _ of roundWeights(cache, {
    network,
    blocks,
    options: PLAIN_GPTQ,
    layers,
  }));
  watch.stop();
  rmSync(written, { recursive: true });
  return { seconds: watch.seconds[0]!, cpuSeconds: watch.cpuSeconds[0]!, anonymousBytes: memory.stop() };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]!) as RoundingAsked)));
