/**
 * This benchmark takes the seconds of one learning step apart, on stories3M-q80 with 8 × 256 tokens and 4-bit weights
 * in the loop. Without that model it uses the demo model. It compares the step with the time of the matrix products
 * alone, at the rate that ONNX Runtime reaches here. It writes bench/results/step.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Graph } from '../src/engine/graph/graph.ts';
import { gemm } from '../src/engine/graph/ops/matmul.ts';
import { Program } from '../src/engine/graph/program.ts';
import type { ModelConfig } from '../src/engine/model/config.ts';
import { startingMaps } from '../src/engine/plan/experiment-maps.ts';
import { learningNetwork } from '../src/engine/plan/networks.ts';
import { calibrationBlocks, openWorkbench } from '../src/engine/plan/workbench.ts';
import type { Runtime } from '../src/engine/runtime/types.ts';
import { learnRotations } from '../src/engine/transform/learning/learner.ts';
import { float32 } from '../src/protocol/tensor.ts';
import { median } from './probe.ts';
import { subjects } from './quality/subjects.ts';

const STEPS = 20;
const SEQUENCES = 8;

/** Counts multiply-add flops of a step without recomputation: forward, ∂x, rotation gradients u W and x̂ Aᵀ Wᵀ. */
function usefulFlops(
  config: ModelConfig,
  tokens: number,
  sequence: number,
): { useful: number; done: number } {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim: h, layers, vocabSize } = config;
  const qkv = d * h * (heads + 2 * kvHeads);
  const out = d * h * heads;
  const mlp = 3 * d * f;
  const forward = qkv + out + mlp + 2 * sequence * heads * h;
  const inputGradient = qkv + out + mlp + 4 * sequence * heads * h;
  // These are u W of every reading weight and of o, v; x̂ Aᵀ Wᵀ of o, down, v; the products with x̂ or ∂y, [T, d] each.
  const rotation = qkv + 2 * d * f + out + (out + d * f + d * h * kvHeads) + 6 * d * d;
  const ends = 2 * d * vocabSize + 4 * d * d;
  const useful = 2 * tokens * (layers * (forward + inputGradient + rotation) + ends);
  return { useful, done: useful + 2 * tokens * layers * forward };
}

/** Measures the best rate of the layer's largest product in this run, in flop/s. */
async function gemmRate(runtime: Runtime, config: ModelConfig, tokens: number): Promise<number> {
  const { hiddenSize: d, intermediateSize: f } = config;
  const graph = new Graph();
  const y = gemm(graph.input('x', [tokens, d]), graph.input('w', [f, d]), { transB: true });
  const program = await Program.compile(runtime, graph, { y });
  const tensors = {
    x: float32([tokens, d], new Float32Array(tokens * d).fill(0.5)),
    w: float32([f, d], new Float32Array(f * d).fill(0.5)),
  };
  const into = { y: float32([tokens, f], new Float32Array(tokens * f)) };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 50; i++) {
    const began = performance.now();
    await program.run(tensors, undefined, into);
    best = Math.min(best, (performance.now() - began) / 1000);
  }
  program.release();
  return (2 * tokens * d * f) / best;
}

const [subject] = (await subjects(['stories3M'])).concat(await subjects(['demo']));
const results = [];
for (const [label, clip, weightBits] of [
  ['W4 in the loop', false, 4],
  ['W4 in the loop, clip search', true, 4],
  ['W16 in the loop', false, 16],
] as const) {
  const { rotation, calibration, ...rest } = subject!.experiment;
  const learning = { ...rotation.learning, steps: STEPS, weightBits, weightClip: clip, batchSize: SEQUENCES };
  const experiment = { ...rest, calibration, rotation: { ...rotation, learning } };
  const bench = await openWorkbench(experiment, {});
  const { config } = bench.checkpoint;
  const blocks = await calibrationBlocks(bench);
  const sequence = blocks[0]!.length;
  const start = { step: 0, state: startingMaps(experiment, config) };
  const seams = ['residual', 'value'] as const;
  const options = { ...learning, microBatch: SEQUENCES, seams, dataSeed: 0 };
  const seconds: number[] = [];
  for await (const step of learnRotations(bench.cache, learningNetwork(bench), start, blocks, options)) {
    seconds.push(step.seconds);
  }
  const rate = await gemmRate(bench.runtime, config, SEQUENCES * sequence);
  const { useful, done } = usefulFlops(config, SEQUENCES * sequence, sequence);
  const warm = seconds.slice(2);
  results.push({
    label,
    model: subject!.name,
    runtime: bench.runtime.description,
    secondsMedian: median(warm),
    secondsMin: Math.min(...warm),
    gemmGflops: rate / 1e9,
    floorSeconds: useful / rate,
    floorWithRecomputationSeconds: done / rate,
    timesFloor: Math.min(...warm) / (useful / rate),
  });
  await bench.close();
}
for (const { label, secondsMedian, secondsMin, floorSeconds, timesFloor } of results) {
  console.log(
    `${label.padEnd(30)} median ${secondsMedian.toFixed(3)} s, best ${secondsMin.toFixed(3)} s, floor ${floorSeconds.toFixed(3)} s, best/floor ${timesFloor.toFixed(2)}`,
  );
}
const folder = join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'step.json'), `${JSON.stringify(results, null, 2)}\n`);
