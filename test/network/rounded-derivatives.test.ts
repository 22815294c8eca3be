/**
 * Learning in `bfloat16` rounds factors of derivatives only: the loss has the same bits, and the gradient of every
 * rotation is off by no more than these factors can make it. `bfloat16-all` rounds those of the forward pass too, and
 * `int8` has derivatives in bytes.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import type { Precision } from '../../src/engine/graph/lower/tiles.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';

const MODEL = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'model');

/** A number of 8 bits is off by at most this part of itself. */
const ONE_PIECE = 2 ** -8;
/**
 * A number rounded to a byte is off by up to half of 1/127 of the largest number of its row: 1/√12 of a unit in the root
 * mean square. Normally distributed, the largest of 768 numbers, the most in a row, is about 3.2 times their root mean
 * square; no row has more than twice that. The errors of both factors of all products behind each other are independent.
 */
const BYTES = (2 * 3.2) / 127 / Math.sqrt(12);
/** Products on the way of a derivative through a layer. */
const BACK = 7;
/** Products behind each other in a layer: of weights with two maps, q or k, scores, values, o, gate or up, and down. */
const FORTH = 8;

/** Loss and gradients at each of these precisions; null where the processor has no such products. */
async function foundIn<P extends Precision>(
  context: TestContext,
  weightBits: number,
  precisions: readonly P[],
) {
  const runtime = await createRuntime({ threads: 2 });
  const cache = new ProgramCache(runtime);
  if (!cache.abilities.roundedProducts || cache.abilities.bfloat16Products) {
    context.skip('this processor has no products of bfloat16 on vectors');
    return null;
  }
  const checkpoint = await openCheckpoint(MODEL);
  const { config } = checkpoint;
  const random = new Rng(3);
  const state = {
    residual: [Float32Array.from(haarRotation(config.hiddenSize, random))],
    value: Array.from({ length: config.layers }, () =>
      Float32Array.from(haarRotation(config.headDim, random)),
    ),
  };
  const batch = Array.from({ length: 8 }, () =>
    Int32Array.from({ length: 128 }, () => random.integer(config.vocabSize)),
  );
  const found = async (precision: Precision) => {
    const network = new Network(cache, checkpoint, {
      mode: 'merged',
      // Numbers that are not rounded have no code that may fall to another side.
      quantizers: {
        ...FULL_PRECISION,
        weights: { bits: weightBits, symmetric: true, group: 0, clipSearch: false },
      },
      maps: spinQuantMaps({ r1: true, r2: true, r3: null, r4: planHadamard(config.intermediateSize) }),
      centreEmbedding: false,
      integer: 'if-faster',
      learns: true,
      precision,
    });
    network.setMaps(state);
    return lossAndGradients(network, batch, 8);
  };
  const all = [];
  for (const precision of precisions) all.push(await found(precision));
  return { layers: config.layers, all };
}

type Found = Awaited<ReturnType<typeof lossAndGradients>>;

/** Every gradient is rounded, and is off by at most so much of its size. */
function assertNear(rounded: Found, exact: Found, bound: number): void {
  for (const seam of ['residual', 'value'] as const) {
    exact.gradients[seam]!.forEach((expected, index) => {
      const error = distance(rounded.gradients[seam]![index]!, expected);
      assert.ok(error > 0, `${seam} ${index} is rounded`);
      assert.ok(error <= bound, `${seam} ${index}: ${error} of ${bound}`);
    });
  }
}

test('rounded derivatives leave the loss alone, and gradients nearly', async (context) => {
  const found = await foundIn(context, 4, ['float32', 'bfloat16']);
  if (!found) return;
  const [exact, rounded] = found.all as [Found, Found];
  assert.equal(rounded.loss, exact.loss);
  assertNear(rounded, exact, (BACK * found.layers + 2) * ONE_PIECE);
});

test('with the forward pass in bfloat16, loss and gradients are off by what its products are', async (context) => {
  const found = await foundIn(context, 16, ['float32', 'bfloat16', 'bfloat16-all']);
  if (!found) return;
  const [exact, derivatives, rounded] = found.all as [Found, Found, Found];
  const back = (BACK * found.layers + 2) * ONE_PIECE;
  // What a derivative is multiplied with is off by the products before it, the first and the last one among them.
  const forth = (FORTH * found.layers + 2) * ONE_PIECE;
  assert.notEqual(rounded.loss, exact.loss);
  assert.ok(Math.abs(rounded.loss - exact.loss) <= forth * exact.loss, `${rounded.loss} for ${exact.loss}`);
  assert.equal(derivatives.loss, exact.loss);
  assertNear(rounded, exact, forth + back);
});

test('derivatives in bytes leave the loss alone, and gradients are off by what bytes are', async (context) => {
  const found = await foundIn(context, 16, ['bfloat16-all', 'int8']);
  if (!found) return;
  const [exact, rounded] = found.all as [Found, Found];
  assert.equal(rounded.loss, exact.loss);
  assertNear(rounded, exact, BYTES * Math.sqrt(2 * (BACK * found.layers + 2)));
});

/** ‖a − b‖ / ‖b‖. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
