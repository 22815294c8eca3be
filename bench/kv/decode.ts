/**
 * Measures a token of a whole network with random weights of SmolLM2-135M's shape, behind so many others: with keys and
 * values as float32 numbers and of 16, 8 and 4 bits in turn, round after round, by the clock and the processor's time. What stands in the caches is noise. Prints JSON.
 */
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BLOCK_TOKENS, packedLayout } from '../../src/engine/graph/fused/pack-cache.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { cacheBytes, cachedNumbers, cacheFormsOf } from '../../src/engine/network/cache-form.ts';
import type { GrownRows, LayerCache } from '../../src/engine/network/layer-cache.ts';
import { layerCaches } from '../../src/engine/network/layer-caches.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { SMOLLM2_135M, writeSynthetic } from '../sizes/synthetic.ts';

export interface Argument {
  readonly threads: number;
  readonly depths: readonly number[];
  readonly rounds: number;
}

export interface Row {
  readonly bits: number;
  readonly depth: number;
  /** Of a token: the fastest, and the median. */
  readonly milliseconds: number;
  readonly median: number;
  /** Of the processor, on all threads: the least. */
  readonly processor: number;
  /** Bytes of keys and values that a token reads. */
  readonly cacheBytes: number;
}

interface Contender {
  readonly bits: number;
  readonly depth: number;
  readonly network: Network;
  readonly quantizers: LayerQuantizers;
  readonly caches: readonly LayerCache[];
  readonly milliseconds: number[];
  readonly processor: number[];
}

const argument = JSON.parse(process.argv[2]!) as Argument;

const quantizer = (bits: number, includeZero: boolean) => ({
  ...{ bits, symmetric: false, group: 0, clipRatio: 1, includeZero },
});

/** 32 bits are the cache of a network in full precision. */
const quantizersOf = (bits: number): LayerQuantizers =>
  bits >= 16
    ? { ...FULL_PRECISION, cachedNumbers: bits === 16 ? 'float16' : 'float32' }
    : { ...FULL_PRECISION, keys: quantizer(bits, true), values: quantizer(bits, false) };

/** Rows for a cache that is to have so many tokens. */
function filling({ kvHeads, headDim }: ModelConfig, quantizers: LayerQuantizers, tokens: number): GrownRows {
  const forms = cacheFormsOf(quantizers);
  if (!forms) {
    const noise = randomFillSync(new Int8Array(kvHeads * tokens * headDim));
    const dims = [1, kvHeads, tokens, headDim];
    const numbers = Float32Array.from(noise, (byte) => byte / 128);
    const rows: NonNullable<GrownRows['keys']> =
      cachedNumbers(quantizers) === 'float32'
        ? float32(dims, numbers)
        : { kind: 'host', dtype: 'float16', dims, data: float32ToFloat16(numbers) };
    return { keys: rows, values: rows };
  }
  const blocks = Math.ceil(tokens / BLOCK_TOKENS);
  const { blockBytes, blockScales } = packedLayout(headDim, forms.keys);
  const data = randomFillSync(new Int8Array(kvHeads * blocks * blockBytes));
  const codes = { kind: 'host', dtype: 'int8', dims: [1, kvHeads, blocks, blockBytes], data } as const;
  // Zero points are noise too, up to 2¹⁵: with such a scale keys stay small.
  const scales = float32(
    [1, kvHeads, blocks, blockScales],
    new Float32Array(kvHeads * blocks * blockScales).fill(1e-6),
  );
  return { keyCodes: codes, keyScales: scales, valueCodes: codes, valueScales: scales };
}

function contender(programs: ProgramCache, checkpoint: Checkpoint, bits: number, depth: number): Contender {
  const { config } = checkpoint;
  const quantizers = quantizersOf(bits);
  const maps = spinQuantMaps({
    r1: false,
    r2: false,
    r3: bits < 16 ? planHadamard(config.headDim) : null,
    r4: null,
  });
  const network = new Network(programs, checkpoint, {
    mode: 'merged',
    quantizers,
    maps,
    centreEmbedding: false,
  });
  const rows = filling(config, quantizers, depth);
  const caches = layerCaches(network, 1, depth + 1);
  for (const cache of caches) cache.append(rows, depth);
  return { bits, depth, network, quantizers, caches, milliseconds: [], processor: [] };
}

/** One token behind those of the caches, which stay as long as they are. */
async function token({ network, caches, depth, milliseconds, processor }: Contender): Promise<void> {
  const [began, used] = [performance.now(), process.cpuUsage()];
  let x = await network.embed(Int32Array.of(5));
  for (const [layer, cache] of caches.entries()) x = await network.extend(layer, x, { n: 1, cache });
  await network.logits(x);
  milliseconds.push(performance.now() - began);
  const { user, system } = process.cpuUsage(used);
  processor.push((user + system) / 1000);
  for (const cache of caches) cache.seek(depth);
}

const folder = join(tmpdir(), 'spinquant-bench', SMOLLM2_135M.name);
writeSynthetic(folder, SMOLLM2_135M, false);
const checkpoint = await openCheckpoint(folder);
const runtime = await createRuntime({ kernels: 'native', threads: argument.threads });
const programs = new ProgramCache(runtime);
const contenders = argument.depths.flatMap((depth) =>
  [32, 16, 8, 4].map((bits) => contender(programs, checkpoint, bits, depth)),
);
for (let round = 0; round <= argument.rounds; round++) for (const each of contenders) await token(each);
const rows = contenders.map(({ bits, depth, quantizers, ...taken }): Row => {
  // The first round fills caches of the system.
  const [milliseconds, processor] = [taken.milliseconds, taken.processor].map((times) =>
    times.slice(1).sort((a, b) => a - b),
  ) as [number[], number[]];
  return {
    ...{ bits, depth, milliseconds: milliseconds[0]!, median: milliseconds[milliseconds.length >> 1]! },
    ...{ processor: processor[0]!, cacheBytes: cacheBytes(checkpoint.config, depth, { quantizers }) },
  };
});
await programs.release();
runtime.close();
console.log(JSON.stringify(rows));
