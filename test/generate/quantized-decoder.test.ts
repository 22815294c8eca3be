/**
 * Every architecture, quantized and rotated: token by token with kept keys and values, its logits are those of a pass
 * over the whole text.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden, labelOf, type Setting } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

/** A prompt, single tokens, a second prompt, single tokens: 24 in all. */
const CHUNKS = [5, 1, 1, 1, 1, 1, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1];

const SETTINGS: readonly Setting[] = [
  ...[4, 16].flatMap((cache) =>
    [true, false].map((online) => ({ activations: cache === 4 ? 4 : 8, cache, online }) as Setting),
  ),
  { activations: 8, cache: 8, online: true },
  { activations: 4, cache: 4, online: true, kronecker: true },
];

const RUNTIMES = new Map<string, Runtime>();
before(async () => {
  for (const kernels of KERNELS) RUNTIMES.set(kernels, await createRuntime({ kernels, threads: 1 }));
});
after(() => {
  for (const runtime of RUNTIMES.values()) runtime.close();
});

/** Logits after each chunk, one row behind the other. */
async function decoded(network: Network, ids: Int32Array): Promise<number[]> {
  const decoder = new Decoder(network, 1, ids.length);
  const rows: number[] = [];
  for (const chunk of CHUNKS) {
    const next = ids.subarray(decoder.length, decoder.length + chunk);
    rows.push(...(await decoder.next(next)).data);
  }
  return rows;
}

/** The same rows of logits [S, V] of the whole text. */
function rowsOf(logits: Float32Array, vocabulary: number): number[] {
  let length = 0;
  return CHUNKS.flatMap((chunk) => {
    length += chunk;
    return [...logits.subarray((length - 1) * vocabulary, length * vocabulary)];
  });
}

function distance(a: readonly number[], b: readonly number[]): number {
  assert.equal(a.length, b.length);
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length);
}

/**
 * Both sum the same terms in other orders: what they round is equal up to δ = 10⁻⁶ of its range, and so are the logits,
 * unless a number lies so near the border of two codes that it goes to the other. Among b-bit codes this happens to
 * p = 2 δ (2ᵇ − 1) of all numbers: at 4 bits 3·10⁻⁵ of the 8000 that a text has here, at 8 bits, where a step is small,
 * to a few. Rounding moves each of N numbers by a variance of 1/12 step², a flip moves one by a step: n flips are 12 n/N
 * of the variance that quantization brings. Four are allowed, as a share of its effect: √(48/8000) < 0.1.
 *
 * A cache at 16 bits holds halves, off by δ = 2⁻¹² of a number or so, a sixth of that of a row's range: of 8-bit codes
 * 255/6·2⁻¹² = 0.01 flip behind attention, 12·0.01 of the variance of rounding to 8 bits. Rounding weights to 4 bits brings
 * (255/15)² times that variance: √0.12·15/255 = 0.02 of the effect for a site, of which a few follow one another.
 */
const SHARE = 0.1;

/** Composed operators differ from native ones in attention, which has a window or none. */
const COMPOSED: readonly string[] = ['llama', 'qwen2-window'];

for (const kernels of KERNELS)
  for (const name of kernels === 'native' ? GOLDEN_NAMES : COMPOSED)
    test(`${name}, quantized, token by token (${kernels} kernels)`, async () => {
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const { vocabSize } = checkpoint.config;
      const cache = new ProgramCache(RUNTIMES.get(kernels)!);
      const ids = Int32Array.from(readGolden(name).ids);
      const options = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS } as const;
      const plain = new Network(cache, checkpoint, { ...options, centreEmbedding: false });
      const exact = rowsOf(await sequenceLogits(plain, ids), vocabSize);
      for (const setting of SETTINGS) {
        const network = deployedGolden(cache, checkpoint, setting);
        const whole = rowsOf(await sequenceLogits(network, ids), vocabSize);
        const found = await decoded(network, ids);
        const effect = distance(whole, exact);
        const at = `${labelOf(setting)}: ${distance(found, whole)} of ${effect}`;
        assert.ok(distance(found, whole) < SHARE * effect, at);
        if (setting.cache === 16 || setting.online) continue;
        // The same with keys and values as they are is not the same network.
        const other = await decoded(deployedGolden(cache, checkpoint, { ...setting, cache: 16 }), ids);
        assert.ok(distance(other, whole) > SHARE * effect, `${at}, but ${distance(other, whole)}`);
      }
      await cache.release();
    });
