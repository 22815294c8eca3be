/**
 * FlatQuant on one layer: the derivative of its error by the maps, through their inverses, and by the ends of grids,
 * against finite differences in float64; and the steps of its optimizer.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { kroneckerFactors, kroneckerNumbers } from '../../src/engine/network/kronecker.ts';
import { seamOf } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import {
  derivativeName,
  FLAT_SEAMS,
  type FlatSeam,
  layerLoss,
  logitSizes,
  stepExpression,
} from '../../src/engine/transform/flatquant/block.ts';
import { cosineRate, Learned, throughInverses } from '../../src/engine/transform/flatquant/parameters.ts';
import { ROUNDED_SITES } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { elementCount, type HostTensor } from '../../src/protocol/tensor.ts';
import { atBase, freezeClips } from '../helpers/frozen-clip.ts';
import {
  layerTypes,
  noise,
  randomLayer,
  randomTensor,
  TINY_CONFIG,
  TINY_MAPS,
  tinyQuantizers,
} from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

const TOKENS = 5;
const STEP = 1e-6;

for (const [label, weights] of Object.entries({
  'symmetric rows': { bits: 4, symmetric: true, group: 0, clipSearch: false },
  'asymmetric groups': { bits: 3, symmetric: false, group: 4, clipSearch: false },
} as const))
  test(`the derivative of a layer's error is that of finite differences: ${label}, with R1, R2 and R3`, async () => {
    const config = TINY_CONFIG;
    const quantizers = { ...tinyQuantizers(config, 4, true), weights };
    const maps = { ...TINY_MAPS, ...recordOf(FLAT_SEAMS, () => ({ kind: 'kronecker' }) as const) };
    const shape = { batch: 1, sequence: TOKENS, config, window: null, quantizers, maps };
    const spec = { shape, types: layerTypes(config), clipped: ROUNDED_SITES };
    const block = layerLoss(spec, 'float64');
    const random = noise(6);
    const source = recordOf(FLAT_SEAMS, (seam) => {
      const { width } = seamOf(seam, config);
      const [n1, n2] = kroneckerFactors(width);
      const near = (n: number) =>
        Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0) + 0.4 * random());
      return {
        gain: Float64Array.from({ length: width }, () => 1 + 0.4 * random()),
        left: near(n1),
        right: near(n2),
      };
    });
    const logits = new Map(
      [...logitSizes(spec)].map(([name, dims]) => [
        name,
        double(
          dims,
          Float64Array.from({ length: elementCount(dims) }, () => 1.5 + random()),
        ),
      ]),
    );
    const mapsOf = (sources: typeof source) =>
      recordOf(FLAT_SEAMS, (seam) => {
        const numbers = kroneckerNumbers(sources[seam])!;
        return double([numbers.length], numbers);
      });
    const { cos, sin } = ropeTables(config, TOKENS);
    const rows = [TOKENS, config.hiddenSize];
    const base: Tensors = {
      ...randomLayer(config, random),
      cos: double([TOKENS, config.headDim / 2], cos),
      sin: double([TOKENS, config.headDim / 2], sin),
      residual: double([8, 8], randomTensor([8, 8], random).data),
      value: double([4, 4], randomTensor([4, 4], random).data),
      x: double(rows, randomTensor(rows, random).data),
      target: double(rows, randomTensor(rows, random).data),
      ...mapsOf(source),
      ...Object.fromEntries(logits),
    };
    const frozen = await freezeClips(runtime, block.graph, { loss: block.loss });
    const at = await atBase(frozen, base);
    const { graph, outputs } = stepExpression(block);
    const out = await (await Program.compile(runtime, graph, outputs)).run(base);
    const exact = (name: string) => out[derivativeName(name)]!.data as Float64Array;
    const slope = async (moved: (by: number) => Tensors) =>
      ((await at({ ...base, ...moved(STEP) })) - (await at({ ...base, ...moved(-STEP) }))) / (2 * STEP);
    const pairs: (readonly [string, number, number])[] = [];
    const movedAt = (numbers: Float64Array, i: number, by: number) => {
      const own = Float64Array.from(numbers);
      own[i]! += by;
      return own;
    };
    for (const seam of FLAT_SEAMS as readonly FlatSeam[]) {
      const { width } = seamOf(seam, config);
      const by = throughInverses(exact(seam), kroneckerNumbers(source[seam])!, width);
      for (const part of ['gain', 'left', 'right'] as const)
        for (const i of source[seam][part].keys()) {
          const moved = (step: number) =>
            mapsOf({ ...source, [seam]: { ...source[seam], [part]: movedAt(source[seam][part], i, step) } });
          pairs.push([`${seam} ${part} ${i}`, by[part][i]!, await slope(moved)]);
        }
    }
    for (const [name, { dims, data }] of logits)
      for (let i = 0; i < data.length; i += 3)
        pairs.push([
          `${name} ${i}`,
          exact(name)[i]!,
          await slope((by) => ({ [name]: double(dims, movedAt(data, i, by)) })),
        ]);
    const scale = Math.max(...pairs.map(([, , found]) => Math.abs(found)));
    assert.ok(scale > 0.01);
    assert.ok(pairs.filter(([, found]) => Math.abs(found) > 1e-6).length > pairs.length / 2);
    // A loss near 1 is known to 1e-15 after hundreds of sums, so a slope to 1e-9; curvature adds step².
    for (const [name, found, wanted] of pairs)
      assert.ok(Math.abs(found - wanted) <= 1e-8 * Math.max(1, scale), `${name}: ${found} against ${wanted}`);
  });

test('steps and rates are those of AdamW and its cosine in PyTorch', () => {
  const learned = new Learned(Float64Array.of(1, -2, 0.5));
  const derivatives = [
    [0.3, -0.2, 0],
    [-0.1, 0.4, 2],
    [0.2, 0.2, -1],
  ];
  // torch.optim.AdamW(lr 0.05) with CosineAnnealingLR(T_max 4, eta_min 5e-5), in float64.
  const expected = [
    [0.9495000016666667, -1.9490000025, 0.49975],
    [0.9320113819462368, -1.9637951975849712, 0.4677732077209419],
    [0.9166859073483313, -1.9762977588031283, 0.4619344221165846],
  ];
  for (const [step, derivative] of derivatives.entries()) {
    learned.step(derivative, cosineRate(0.05, step, 4), step);
    for (const [i, value] of learned.numbers.entries())
      assert.ok(Math.abs(value - expected[step]![i]!) < 1e-14, `${step} ${i}: ${value}`);
  }
});
