/**
 * This benchmark measures real sizes. A learning step and evaluation at SmolLM2-135M's shape are compared with the
 * products alone and with PyTorch. One layer of LLaMA-3-8B and LLaMA-2-70B is measured too. Set SPINQUANT_PEER_PYTHON
 * to a Python with PyTorch to include it. The results go to bench/results/sizes.json. Parts can be named:
 *
 *     node --import tsx bench/sizes/sizes.bench.ts [smollm2] [layers] [wide] [memoryLimits] [rounding]
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastJson, runScript } from '../child.ts';
import type { Measured, Measurement } from './measure.ts';
import type { RoundingMeasured } from './rounding.ts';
import {
  LLAMA2_70B,
  LLAMA3_8B,
  LLAMA3_8B_LAYER,
  SMOLLM2_135M,
  type SyntheticShape,
  writeSynthetic,
} from './synthetic.ts';

const WORK = join(import.meta.dirname, '..', '..', 'build', 'sizes');
const RESULTS = join(import.meta.dirname, '..', 'results');
const TOKENS = 2048;
const THREADS = Number(process.env.SPINQUANT_BENCH_THREADS ?? 2);
const PYTHON = process.env.SPINQUANT_PEER_PYTHON;

const best = (values: readonly number[]) => Math.min(...values);

function folderOf(shape: SyntheticShape, sparse: boolean): string {
  const folder = join(WORK, shape.name);
  writeSynthetic(folder, shape, sparse);
  return folder;
}

const BASE = {
  weightBits: 16,
  clipSearch: false,
  weightClipEvery: 1,
  integer: 'if-faster',
  precision: 'bfloat16-all',
  sequences: 1,
  sequence: TOKENS,
  repeats: 3,
  threads: THREADS,
  memoryLimit: null,
} as const;

async function ours(asked: Pick<Measurement, 'what' | 'folder'> & Partial<Measurement>): Promise<Measured> {
  return runScript<Measured>(join(import.meta.dirname, 'measure.ts'), { ...BASE, ...asked });
}

interface Peer {
  readonly seconds: readonly number[];
  readonly cpuSeconds: readonly number[];
  readonly peakBytes: number;
  readonly torch: string;
}

async function torch(folder: string, mode: string, steps: number): Promise<Peer | null> {
  if (!PYTHON) return null;
  const file = join(import.meta.dirname, '..', 'peers', 'sizes_step.py');
  return lastJson<Peer>(PYTHON, [file, folder, mode, String(steps), String(THREADS)]);
}

/** Returns shares of the products' rate, by the clock and by processor time. */
function rates({ seconds, cpuSeconds, flops, gemm, peakBytes, anonymousBytes, weightBytes }: Measured) {
  return {
    seconds: best(seconds),
    cpuSeconds: best(cpuSeconds),
    usefulGflops: flops / best(seconds) / 1e9,
    gemmGflops: gemm.rate / 1e9,
    ofGemm: flops / best(seconds) / gemm.rate,
    ofGemmByProcessorTime: flops / best(cpuSeconds) / gemm.cpuRate,
    peakBytesBeyondWeights: peakBytes - weightBytes,
    anonymousBytes,
  };
}

/** Returns the one with the shorter best repeat. */
function faster<T extends { readonly seconds: readonly number[] }>(a: T, b: T): T {
  return best(a.seconds) <= best(b.seconds) ? a : b;
}

async function small() {
  const folder = folderOf(SMOLLM2_135M, false);
  // They run in turn, twice, as the clock of a shared machine changes within minutes.
  const turns = [];
  const evaluated = { what: 'evaluate', folder, weightBits: 4 } as const;
  for (let turn = 0; turn < 2; turn++) {
    turns.push({
      own: await ours({ what: 'step', folder }),
      float32: await torch(folder, 'float32', 2),
      ownW4: await ours({ what: 'step', folder, weightBits: 4 }),
      float32W4: await torch(folder, 'float32-w4', 2),
      reference: await torch(folder, 'reference', 1),
      evaluation: await ours({ ...evaluated, precision: 'float32' }),
      rounded: await ours(evaluated),
      evaluate: await torch(folder, 'evaluate', 3),
    });
  }
  const [first, second] = turns as [(typeof turns)[0], (typeof turns)[0]];
  const peer = (a: Peer | null, b: Peer | null) => (a && b ? faster(a, b) : null);
  const fourBits = { what: 'step', folder, weightBits: 4 } as const;
  const steps = {
    W16A4KV4: rates(faster(first.own, second.own)),
    W4A4KV4: rates(faster(first.ownW4, second.ownW4)),
    'W4A4KV4, clip search': rates(await ours({ ...fourBits, clipSearch: true })),
    'W16A4KV4, float32': rates(await ours({ what: 'step', folder, precision: 'float32' })),
  };
  return {
    steps,
    evaluation: rates(faster(first.evaluation, second.evaluation)),
    'evaluation, bfloat16': rates(faster(first.rounded, second.rounded)),
    peers: {
      float32: peer(first.float32, second.float32),
      float32W4: peer(first.float32W4, second.float32W4),
      reference: peer(first.reference, second.reference),
      evaluate: peer(first.evaluate, second.evaluate),
    },
  };
}

async function layer(shape: SyntheticShape) {
  const folder = folderOf(shape, true);
  const measured = await ours({ what: 'layer', folder, repeats: 2 });
  const { seconds, ...rest } = rates(measured);
  return { secondsPerLayer: seconds, projectedStepSeconds: seconds * shape.layers, ...rest };
}

/** Measures a step on one layer of LLaMA-3-8B, where the rotation of weights in every pass costs more. */
async function wide() {
  const folder = folderOf(LLAMA3_8B_LAYER, false);
  const step = rates(await ours({ what: 'step', folder, repeats: 2 }));
  return { step, reference: await torch(folder, 'reference', 1), float32: await torch(folder, 'float32', 1) };
}

async function limited() {
  const folder = folderOf(SMOLLM2_135M, false);
  const rows = [];
  for (const weightBits of [16, 4]) {
    for (const memoryLimit of [null, 1.2, 0.8]) {
      const settings = { sequences: 4, sequence: TOKENS / 4, repeats: 2, memoryLimit, weightBits };
      const measured = await ours({ what: 'step', folder, ...settings });
      const { seconds, cpuSeconds, peakBytesBeyondWeights } = rates(measured);
      rows.push({
        weightBits,
        memoryLimit,
        seconds,
        cpuSeconds,
        peakBytesBeyondWeights,
        loss: measured.losses[0],
      });
    }
  }
  return rows;
}

/** Rounds one layer of a shape by GPTQ, under a small vocabulary: measures the fixed cost and that of each sequence. */
async function rounding(shape: SyntheticShape, sparse: boolean, layers: number) {
  const one = { ...shape, name: `${shape.name.replace(/-layer$/, '')}-layer`, layers: 1, vocabulary: 1024 };
  const folder = folderOf(one, sparse);
  const run = (sequences: number) =>
    runScript<RoundingMeasured>(join(import.meta.dirname, 'rounding.ts'), {
      folder,
      sequences,
      sequence: TOKENS,
      threads: THREADS,
    });
  const [few, more] = [await run(1), await run(ROUNDED)];
  const secondsPerSequence = (more.seconds - few.seconds) / (ROUNDED - 1);
  const secondsPerLayer = few.seconds - secondsPerSequence;
  const anonymousBytes = Math.max(few.anonymousBytes, more.anonymousBytes);
  const projectedSeconds = layers * (secondsPerLayer + 128 * secondsPerSequence);
  return { secondsPerSequence, secondsPerLayer, projectedSeconds, anonymousBytes };
}

/** The larger of two measurements has this many sequences. */
const ROUNDED = 4;

const PARTS = {
  smollm2: small,
  layers: async () => ({ 'LLaMA-3-8B': await layer(LLAMA3_8B), 'LLaMA-2-70B': await layer(LLAMA2_70B) }),
  wide,
  memoryLimits: limited,
  rounding: async () => ({
    'SmolLM2-135M': await rounding(SMOLLM2_135M, false, SMOLLM2_135M.layers),
    'LLaMA-3-8B': await rounding(LLAMA3_8B_LAYER, false, LLAMA3_8B.layers),
    'LLaMA-2-70B': await rounding(LLAMA2_70B, true, LLAMA2_70B.layers),
  }),
};

mkdirSync(WORK, { recursive: true });
mkdirSync(RESULTS, { recursive: true });
const file = join(RESULTS, 'sizes.json');
const wanted = process.argv.slice(2);
const results: Record<string, unknown> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
Object.assign(results, { tokens: TOKENS, threads: THREADS });
for (const [name, part] of Object.entries(PARTS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  results[name] = await part();
  console.log(name, JSON.stringify(results[name], null, 2));
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
