/**
 * This benchmark lets networks write text side by side, token by token with kept keys and values, as LLM-QAT does. It
 * compares a token with its matrix products at the rate that ONNX Runtime reaches for the same shapes in this run, and
 * with a pass over the whole text, which every token would take without the cache. It writes bench/results/decoding.json.
 * `npm run bench -- decoding`; folders of further models in SPINQUANT_MODELS, separated by colons.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Decoder } from '../src/engine/generate/decoder.ts';
import { sequencesAtOnce } from '../src/engine/generate/writing-memory.ts';
import { Graph } from '../src/engine/graph/graph.ts';
import { gemm } from '../src/engine/graph/ops/matmul.ts';
import { Program } from '../src/engine/graph/program.ts';
import { ProgramCache } from '../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../src/engine/model/config.ts';
import { cacheBytes } from '../src/engine/network/cache-form.ts';
import { FULL_PRECISION } from '../src/engine/network/layer-shape.ts';
import { Network } from '../src/engine/network/network.ts';
import { NO_MAPS } from '../src/engine/network/seams.ts';
import { createRuntime } from '../src/engine/runtime/index.ts';
import type { Runtime } from '../src/engine/runtime/types.ts';
import { float32 } from '../src/protocol/tensor.ts';
import { subjects } from './quality/subjects.ts';

const LENGTH = 256;
/** A token of a model with more operations than this is measured at the start of the text alone. */
const LARGE = 5e9;

interface Taken {
  readonly wall: number;
  readonly processor: number;
}

/** Milliseconds of the work, also those of the processor: others may use it, too. */
async function measure(work: () => Promise<unknown>): Promise<Taken> {
  const [began, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wall: performance.now() - began, processor: (user + system) / 1000 };
}

const quarter = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 2]!;

/** A quarter of the measurements was disturbed less. */
const typical = (taken: readonly Taken[]): Taken => ({
  wall: quarter(taken.map(({ wall }) => wall)),
  processor: quarter(taken.map(({ processor }) => processor)),
});

/** Multiply-adds with weights for one token. */
function weightsOf({
  hiddenSize: d,
  intermediateSize: f,
  heads,
  kvHeads,
  headDim: h,
  ...config
}: ModelConfig) {
  return config.layers * (2 * d * h * (heads + kvHeads) + 3 * d * f) + d * config.vocabSize;
}

/** The best time of the products alone, at the shape of gate, scaled to all of them. */
async function productTime(runtime: Runtime, config: ModelConfig, rows: number): Promise<number> {
  const { hiddenSize: d, intermediateSize: f } = config;
  const graph = new Graph();
  const y = gemm(graph.input('x', [rows, d]), graph.input('w', [f, d]), { transB: true });
  const program = await Program.compile(runtime, graph, { y });
  const filled = (...dims: number[]) => float32(dims, new Float32Array(dims[0]! * dims[1]!).fill(0.5));
  const tensors = { x: filled(rows, d), w: filled(f, d) };
  const taken: Taken[] = [];
  for (let i = 0; i < 50; i++) taken.push(await measure(() => program.run(tensors)));
  program.release();
  return (Math.min(...taken.map(({ wall }) => wall)) * weightsOf(config)) / (d * f);
}

async function bench(runtime: Runtime, folder: string) {
  const checkpoint = await openCheckpoint(folder);
  const { config } = checkpoint;
  const cache = new ProgramCache(runtime);
  const options = {
    mode: 'plain',
    quantizers: FULL_PRECISION,
    maps: NO_MAPS,
    centreEmbedding: false,
  } as const;
  const network = new Network(cache, checkpoint, options);
  const batch = sequencesAtOnce(config, LENGTH);
  const operations = 2 * batch * weightsOf(config);
  const decoder = new Decoder(network, batch, LENGTH);
  const ids = new Int32Array(batch).fill(5);
  await decoder.next(ids);
  const tokens: Taken[] = [];
  const count = operations > LARGE ? 8 : LENGTH - 1;
  for (let token = 1; token < count; token++) tokens.push(await measure(() => decoder.next(ids)));
  // A few sequences of half the length stand for the average text so far.
  const [few, half] = [4, LENGTH / 2];
  const wholeText = async () => {
    let x = await network.embed(new Int32Array(few * half).fill(5));
    for (let layer = 0; layer < config.layers; layer++)
      x = await network.layer(layer, x, { batch: few, sequence: half });
  };
  await wholeText();
  const whole = await measure(wholeText);
  const products = await productTime(runtime, config, batch);
  await cache.release();
  const quarterOf = tokens.length >> 2;
  return {
    model: basename(folder),
    sequences: batch,
    cacheMegabytes: cacheBytes(config, batch * LENGTH) / 1e6,
    operations,
    products,
    firstQuarter: typical(tokens.slice(0, quarterOf + 1)),
    lastQuarter: typical(tokens.slice(-quarterOf - 1)),
    withoutCache: { wall: (whole.wall * batch) / few, processor: (whole.processor * batch) / few },
  };
}

const root = join(import.meta.dirname, '..');
const further = process.env.SPINQUANT_MODELS?.split(':') ?? [];
const known = await subjects(['stories260K', 'stories3M']);
const folders = [...known.map(({ experiment }) => experiment.model), ...further];
const runtime = await createRuntime({});
const results = [];
for (const folder of folders) {
  const result = await bench(runtime, folder);
  console.log(JSON.stringify(result));
  results.push(result);
}
const description = runtime.description;
runtime.close();
mkdirSync(join(root, 'bench', 'results'), { recursive: true });
writeFileSync(
  join(root, 'bench', 'results', 'decoding.json'),
  `${JSON.stringify({ runtime: description, length: LENGTH, results }, null, 2)}\n`,
);
