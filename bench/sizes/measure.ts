/** Makes one measurement in a separate process to measure its peak memory. Arguments and result are JSON. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { measurePerplexity } from '../../src/engine/evaluate/perplexity.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import type { Precision } from '../../src/engine/graph/lower/tiles.ts';
import { gemm } from '../../src/engine/graph/ops/matmul.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { planMemory, preparedBytes } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { packs } from '../../src/engine/network/packed-weights.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { Tape } from '../../src/engine/network/tape.ts';
import { preparedWeightBytes } from '../../src/engine/network/weight-bytes.ts';
import { type IntegerProducts, weightFormOf } from '../../src/engine/network/weight-form.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { learnRotations } from '../../src/engine/transform/learning/learner.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { evaluationFlops, stepFlops } from './flops.ts';
import { identities } from './identities.ts';
import { MemoryWatch, Stopwatch } from './watches.ts';

export interface Measurement {
  /** A learning step, one layer forward and backward, or evaluation. */
  readonly what: 'step' | 'layer' | 'evaluate';
  readonly folder: string;
  readonly weightBits: number;
  readonly clipSearch: boolean;
  readonly weightClipEvery: number;
  /** Which products are of whole numbers. */
  readonly integer: IntegerProducts;
  /** The precision of products beside those of codes. */
  readonly precision: Precision;
  readonly sequences: number;
  readonly sequence: number;
  readonly repeats: number;
  readonly threads: number;
  /** The limit is in GB beyond the weights; null for none. */
  readonly memoryLimit: number | null;
}

export interface Measured {
  /** One entry per repeat. The first repeat, which compiles, is left out where there are more. */
  readonly seconds: readonly number[];
  /** Other work on the machine disturbs the processor time of all threads less. */
  readonly cpuSeconds: readonly number[];
  readonly flops: number;
  /** The layer's largest product reaches these operations per second and per processor second in this process. */
  readonly gemm: { readonly rate: number; readonly cpuRate: number };
  /** The peaks of resident memory: all of it, and the part not mapped from files. */
  readonly peakBytes: number;
  readonly anonymousBytes: number;
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

function networkFor(asked: Measurement, cache: ProgramCache, checkpoint: Checkpoint): Network {
  const { config } = checkpoint;
  const learns = asked.what !== 'evaluate';
  const mode = learns && asked.weightBits >= 16 ? 'unrotated' : 'merged';
  const quantizers = quantizersFor(asked, config.headDim);
  const { integer, precision } = asked;
  const form = { mode, quantizers, integer, learns, precision } as const;
  const weightForm = weightFormOf(form, cache.abilities);
  const prepared = packs(weightForm)
    ? preparedWeightBytes(checkpoint, { config, quantizers, weightForm })
    : preparedBytes(config);
  const demand = { sequence: asked.sequence, learns, prepared: mode === 'merged' ? prepared : 0 };
  const limit = asked.memoryLimit === null ? null : asked.memoryLimit * 1e9;
  return new Network(cache, checkpoint, {
    ...form,
    maps: spinQuantMaps({
      r1: true,
      r2: true,
      r3: planHadamard(config.headDim),
      r4: planHadamard(config.intermediateSize),
    }),
    centreEmbedding: false,
    memory: planMemory(config, demand, limit),
  });
}

/**
 * Measures the rate that ONNX Runtime reaches here on the layer's largest product. It is sampled between the repeats,
 * because the clock of a shared machine changes within minutes. The rate is the median over the samples, each the best
 * of a few runs.
 */
class GemmRate {
  readonly #program: Program;
  readonly #flops: number;
  readonly #run: () => Promise<unknown>;
  readonly #rates: number[] = [];
  readonly #cpuRates: number[] = [];

  private constructor(program: Program, { config }: Checkpoint) {
    const [d, f] = [config.hiddenSize, config.intermediateSize];
    const filled = (dims: readonly [number, number]) =>
      float32(dims, new Float32Array(dims[0] * dims[1]).fill(0.5));
    const tensors = { x: filled([GEMM_TOKENS, d]), w: filled([f, d]) };
    const into = { y: filled([GEMM_TOKENS, f]) };
    this.#program = program;
    this.#flops = 2 * GEMM_TOKENS * d * f;
    this.#run = () => program.run(tensors, undefined, into);
  }

  static async create(runtime: Runtime, checkpoint: Checkpoint): Promise<GemmRate> {
    const { hiddenSize: d, intermediateSize: f } = checkpoint.config;
    const graph = new Graph();
    const y = gemm(graph.input('x', [GEMM_TOKENS, d]), graph.input('w', [f, d]), { transB: true });
    return new GemmRate(await Program.compile(runtime, graph, { y }), checkpoint);
  }

  async sample(): Promise<void> {
    const watch = new Stopwatch();
    const runs = Math.max(2, Math.round(1e11 / this.#flops));
    for (let i = 0; i < runs; i++) {
      watch.start();
      await this.#run();
      watch.stop();
    }
    const cpu = watch.cpuSeconds.reduce((sum, value) => sum + value, 0) / runs;
    this.#rates.push(this.#flops / Math.min(...watch.seconds));
    this.#cpuRates.push(this.#flops / cpu);
  }

  result(): Measured['gemm'] {
    this.#program.release();
    return { rate: median(this.#rates), cpuRate: median(this.#cpuRates) };
  }
}

const GEMM_TOKENS = 2048;
const median = (values: readonly number[]) => [...values].sort((x, y) => x - y)[values.length >> 1]!;

const random = new Rng(1);
const randomIds = (count: number, vocabulary: number) =>
  Int32Array.from({ length: count }, () => Math.floor(random.uniform() * vocabulary));

/** Repeats the work; `between` is called before each repeat. */
type Work = (watch: Stopwatch, between: () => Promise<void>) => Promise<number[]>;

function stepWork(asked: Measurement, network: Network, cache: ProgramCache): Work {
  const { sequences, sequence, repeats } = asked;
  const options = {
    optimizer: 'cayley-sgd',
    steps: repeats,
    learningRate: 1.5,
    schedule: 'cosine',
    batchSize: sequences,
    microBatch: Math.min(sequences, Math.floor(network.memory.tokensAtOnce / sequence)),
    gradientClip: 1,
    weightClipEvery: asked.weightClipEvery,
    seams: ['residual', 'value'],
    dataSeed: 0,
  } as const;
  return async (watch, between) => {
    const blocks = Array.from({ length: sequences }, () =>
      randomIds(sequence, network.checkpoint.config.vocabSize),
    );
    const start = { step: 0, state: identities(network.checkpoint.config) };
    const steps = learnRotations(cache, network, start, blocks, options);
    const losses: number[] = [];
    for (let i = 0; i < repeats; i++) {
      await between();
      watch.start();
      const next = await steps.next();
      watch.stop();
      if (!next.done) losses.push(next.value.loss);
    }
    return losses;
  };
}

function layerWork({ sequence, repeats }: Measurement, network: Network): Work {
  return async (watch, between) => {
    const tape = new Tape(
      { ...network.checkpoint.config, layers: 1 },
      { batch: 1, sequence, activationCodes: false },
      0,
    );
    for (const layer of [0, 1]) {
      const { data } = tape.residual(layer);
      data.set(data.map(() => random.uniform() - 0.5));
    }
    for (let i = 0; i < repeats; i++) {
      network.setMaps(identities(network.checkpoint.config));
      await between();
      watch.start();
      await network.record(0, tape);
      await network.layerBackward(0, tape, tape.residual(1));
      watch.stop();
    }
    return [];
  };
}

function evaluateWork({ sequence, repeats }: Measurement, network: Network): Work {
  return async (watch, between) => {
    network.setMaps(identities(network.checkpoint.config));
    for (let i = 0; i < repeats; i++) {
      const windows = [randomIds(sequence, network.checkpoint.config.vocabSize)];
      await between();
      watch.start();
      for await (const _ of measurePerplexity(network, { name: 'random', windows }));
      watch.stop();
    }
    return [];
  };
}

async function measure(asked: Measurement): Promise<Measured> {
  const checkpoint = await openCheckpoint(asked.folder);
  const runtime = await createRuntime({ kernels: 'auto', threads: asked.threads });
  const cache = new ProgramCache(runtime);
  const network = networkFor(asked, cache, checkpoint);
  const { config } = checkpoint;
  const tokens = asked.sequences * asked.sequence;
  const one = { ...config, layers: 1, vocabSize: 0 };
  const step = stepFlops(
    asked.what === 'layer' ? one : config,
    tokens,
    asked.sequence,
    asked.weightBits < 16,
  );
  const evaluation = asked.what === 'evaluate';
  const flops = evaluation ? evaluationFlops(config, tokens, asked.sequence) : step.forward + step.backward;
  const work = {
    step: () => stepWork(asked, network, cache),
    layer: () => layerWork(asked, network),
    evaluate: () => evaluateWork(asked, network),
  }[asked.what]();
  const watch = new Stopwatch();
  const memory = new MemoryWatch();
  const gemmRate = await GemmRate.create(runtime, checkpoint);
  const losses = await work(watch, () => gemmRate.sample());
  await gemmRate.sample();
  const anonymousBytes = memory.stop();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const weightBytes = statSync(join(asked.folder, 'model.safetensors')).size;
  return { ...watch.warm(), flops, gemm: gemmRate.result(), peakBytes, anonymousBytes, weightBytes, losses };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]!) as Measurement)));
