/**
 * Every architecture, token by token with kept keys and values: logits equal those that transformers computed once in
 * float64 for the whole text (scripts/goldens), and those of the whole-text network for another text beside it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { logPartition } from '../../src/engine/generate/token-choice.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import type { NetworkOptions } from '../../src/engine/network/network-options.ts';
import { NO_MAPS, spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { storesFloat32 } from '../../src/engine/network/weight-bytes.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

/** New tokens at a time: a start of several, one after the other, several behind others; 24 in all. */
const CHUNKS = [3, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1];

type Form = Pick<NetworkOptions, 'mode' | 'maps'>;

/**
 * Logits after each chunk, by position, of texts that are equally long.
 * @param runs true where a token is one run.
 */
async function decode(
  network: Network,
  texts: readonly Int32Array[],
  runs: boolean,
): Promise<Map<number, Float32Array[]>> {
  const length = texts[0]!.length;
  const decoder = new Decoder(network, texts.length, length);
  const found = new Map<number, Float32Array[]>();
  for (const chunk of CHUNKS) {
    const from = decoder.length;
    const ids = texts.flatMap((text) => [...text.subarray(from, from + chunk)]);
    const { data } = await decoder.next(Int32Array.from(ids));
    const width = data.length / texts.length;
    const rows = texts.map((_, row) => data.slice(row * width, (row + 1) * width));
    found.set(decoder.length - 1, rows);
    if (chunk === 1 && runs) expectPartition(decoder, rows[0]!);
    else assert.equal(decoder.partition, null);
  }
  assert.equal(decoder.length, length);
  await assert.rejects(decoder.next(new Int32Array(texts.length)), /sequences of 24 to 24/);
  return found;
}

/**
 * ln Σ exp is known behind a run of one token, which native kernels make. The loss that it is made of is a float32 number
 * up to ln V and the range of the logits, and off by 4e-7 for its exponentials; twice as much is allowed.
 */
function expectPartition({ partition }: Decoder, logits: Float32Array): void {
  const expected = logPartition(logits);
  const allowed = 2 * (4e-7 + Math.abs(expected - logits[0]!) * 2 ** -24);
  assert.ok(partition !== null && Math.abs(partition - expected) <= allowed, `${partition}, not ${expected}`);
}

function difference(found: Float32Array, expected: ArrayLike<number>): number {
  assert.equal(found.length, expected.length);
  return found.reduce((most, logit, id) => Math.max(most, Math.abs(logit - expected[id]!)), 0);
}

for (const kernels of KERNELS)
  for (const name of GOLDEN_NAMES)
    test(`${name}: token by token (${kernels} kernels)`, async () => {
      const golden = readGolden(name);
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const { config } = checkpoint;
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const [r3, r4] = [planHadamard(config.headDim), planHadamard(config.intermediateSize)];
      const maps = spinQuantMaps({ r1: true, r2: true, r3, r4, acrossHeads: planHadamard(config.heads) });
      const sizes = { hidden: config.hiddenSize, headDim: config.headDim, layers: config.layers };
      const { r1, r2 } = drawRotations(sizes, { r1: 'random', r2: 'random' }, new Rng(1));
      const forms: Form[] = [
        { mode: 'plain', maps: NO_MAPS },
        { mode: 'unrotated', maps },
        { mode: 'merged', maps },
      ];
      for (const form of forms) {
        const options = { ...form, quantizers: FULL_PRECISION, centreEmbedding: false };
        const network = new Network(cache, checkpoint, options);
        network.setMaps(spinQuantState(r1, r2));
        const ids = Int32Array.from(golden.ids);
        const other = ids.toReversed();
        const whole = await sequenceLogits(network, other);
        // The bound of the whole-text network (golden-logits.test.ts): a decoder sums the same terms in another order.
        const bound = 4 * golden.float32MaxDifference;
        const runs = kernels === 'native' && (form.mode === 'merged' || storesFloat32(checkpoint));
        for (const [position, [first, second]] of await decode(network, [ids, other], runs)) {
          const at = `${form.mode} ${position}`;
          assert.ok(difference(first!, golden.logits[position]!) <= bound, at);
          // Both are within the bound of the exact logits.
          const { length } = second!;
          const expected = whole.subarray(position * length, (position + 1) * length);
          assert.ok(difference(second!, expected) <= 2 * bound, at);
        }
      }
      await cache.release();
      runtime.close();
    });
