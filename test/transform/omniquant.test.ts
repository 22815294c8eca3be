/**
 * OmniQuant on one block: the derivative of its loss against finite differences, and its losses and steps against an
 * independent program in PyTorch (`bench/peers/omniquant_torch.py`), both in float64.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { layerExpression } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION, type LayerShape } from '../../src/engine/network/layer-shape.ts';
import { withScaleGradient } from '../../src/engine/network/quantizers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import {
  blockGradient,
  blockLoss,
  corrections,
  firstParameters,
  type StepSpec,
  stepExpression,
} from '../../src/engine/transform/omniquant/block.ts';
import { scaledMaps } from '../../src/engine/transform/omniquant/learn-blocks.ts';
import { layoutOf, SCALED_SEAMS } from '../../src/engine/transform/omniquant/parameters.ts';
import {
  firstScales,
  largerOf,
  type Maxima,
  READER_MAXIMA,
  REFERENCE_BLOCK,
} from '../../src/engine/transform/omniquant/reference.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { atBase, freezeClips } from '../helpers/frozen-clip.ts';
import {
  layerDims,
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

function tablesOf(config: ModelConfig, sequence: number): Tensors {
  const { cos, sin } = ropeTables(config, sequence);
  const dims = [sequence, config.headDim / 2];
  return { cos: double(dims, cos), sin: double(dims, sin) };
}

const { residual, 'up-down': upDown } = TINY_MAPS;
const GRIDS = {
  'symmetric rows': { bits: 4, symmetric: true, group: 0, clipSearch: false },
  'asymmetric groups': { bits: 3, symmetric: false, group: 4, clipSearch: false },
} as const;

for (const [label, weights] of Object.entries(GRIDS))
  test(`the derivative of a block's loss is that of finite differences: ${label}, with R1 and R4`, async () => {
    // Norms of heads would leave no scales to queries and keys.
    const config = { ...TINY_CONFIG, qkNorm: false };
    const quantizers = { ...FULL_PRECISION, weights };
    const seams = SCALED_SEAMS;
    const maps = { residual, 'up-down': upDown, ...scaledMaps(seams) } as LayerShape['maps'];
    const shape = { batch: 1, sequence: 5, config, window: null, quantizers, maps };
    const types = Object.fromEntries(
      Object.entries(layerTypes(config)).filter(([name]) => !['qNorm', 'kNorm'].includes(name)),
    );
    const block = blockLoss({ shape, types, seams }, 'float64');
    const { graph, layout, loss } = block;
    const frozen = await freezeClips(runtime, graph, { loss });
    const random = noise(3);
    const rows = [5, config.hiddenSize];
    const start = Float64Array.from({ length: layout.size }, (_, i) =>
      i < layout.firstScale ? 1.5 + random() : 1 + 0.4 * random(),
    );
    const base: Tensors = {
      ...randomLayer(config, random),
      ...tablesOf(config, 5),
      residual: double([8, 8], randomTensor([8, 8], random).data),
      x: double(rows, randomTensor(rows, random).data),
      target: double(rows, randomTensor(rows, random).data),
      parameters: double([layout.size], start),
    };
    const program = await Program.compile(runtime, graph, { gradient: blockGradient(block) });
    const { data: exact } = (await program.run(base)).gradient as HostTensor<Float64Array>;
    const at = await atBase(frozen, base);
    const step = 1e-6;
    // All scales, and logits of every linear layer.
    const indices = [...start.keys()].filter((i) => i >= layout.firstScale || i % 3 === 0);
    const slopes = new Map<number, number>();
    for (const i of indices) {
      const moved = (by: number) => {
        const data = Float64Array.from(start);
        data[i]! += by;
        return at({ ...base, parameters: double([layout.size], data) });
      };
      slopes.set(i, ((await moved(step)) - (await moved(-step))) / (2 * step));
    }
    const scale = Math.max(...[...slopes.values()].map(Math.abs));
    assert.ok(scale > 0.01);
    // A loss near 1 is known to 1e-15 after hundreds of sums, so a slope to 1e-9; curvature adds step².
    slopes.forEach((slope, i) => {
      assert.ok(
        Math.abs(slope - exact[i]!) <= 1e-8 * Math.max(1, scale),
        `${i}: ${exact[i]} against ${slope}`,
      );
    });
    const scales = indices.filter((i) => i >= layout.firstScale).map((i) => slopes.get(i)!);
    assert.ok(scales.filter((slope) => Math.abs(slope) > 1e-6).length > scales.length / 2);
  });

interface Golden {
  readonly sizes: Record<'hiddenSize' | 'heads' | 'headDim' | 'intermediateSize' | 'tokens', number>;
  readonly alpha: number;
  readonly rates: StepSpec['rates'];
  readonly layer: Readonly<Record<string, number[]>>;
  readonly exact: readonly number[][];
  readonly rounded: readonly number[][];
  readonly learned: Readonly<Record<string, Learned>>;
}

interface Learned {
  readonly setting: { bits: number; symmetric: boolean; group: number; activations: number; scales: boolean };
  /** The scales. */
  readonly start: readonly number[];
  readonly losses: readonly number[];
  /** All parameters after the first step and after the last. */
  readonly first: readonly number[];
  readonly last: readonly number[];
}

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'omniquant', 'golden.json');
const golden = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Golden;
const { tokens, ...sizes } = golden.sizes;
const config: ModelConfig = {
  ...TINY_CONFIG,
  ...sizes,
  kvHeads: sizes.heads,
  layers: 1,
  ...{ qkNorm: false, attentionBias: false, outputBias: false, mlpBias: false },
};
const ROWS = [tokens, config.hiddenSize];

/** The block of the fixture. @param real the type of its tensors. */
function blockOf({ setting }: Learned, real: 'float32' | 'float64') {
  const { bits, symmetric, group, activations, scales } = setting;
  const seams = scales ? SCALED_SEAMS : [];
  const sites = activations < 16 ? tinyQuantizers(config, bits) : FULL_PRECISION;
  const weights = { bits, symmetric, group, clipSearch: false };
  const shape: LayerShape = {
    ...{ batch: 1, sequence: tokens, config, window: null },
    quantizers: withScaleGradient({ ...sites, weights }),
    maps: scaledMaps(seams),
  };
  const dims = layerDims(config);
  const names = Object.keys(golden.layer);
  const types = Object.fromEntries(names.map((name) => [name, { dtype: real, dims: dims[name]! }]));
  const tensor = (size: readonly number[], values: ArrayLike<number>): HostTensor =>
    real === 'float64' ? double(size, values) : float32(size, Float32Array.from(values));
  const layer = Object.fromEntries(names.map((name) => [name, tensor(dims[name]!, golden.layer[name]!)]));
  const { cos, sin } = ropeTables(config, tokens);
  const half = [tokens, config.headDim / 2];
  const tensors = { ...layer, cos: tensor(half, cos), sin: tensor(half, sin) };
  return { shape, types, seams, tensors, tensor };
}

/** The full-precision block of the fixture, and the largest magnitudes in it. */
async function reference(cache: ProgramCache, learned: Learned) {
  const { shape, types, seams, tensors, tensor } = blockOf(learned, 'float32');
  const spec = { shape: { ...shape, quantizers: FULL_PRECISION, maps: {} }, types, seams };
  const program = await cache.get(REFERENCE_BLOCK, spec);
  let maxima: Maxima | null = null;
  for (const x of golden.exact) {
    const { y: _, ...largest } = await program.run({ ...tensors, x: tensor(ROWS, x) });
    maxima = largerOf(maxima, largest);
  }
  const readers = await (await cache.get(READER_MAXIMA, spec)).run(tensors);
  return firstScales(maxima ?? {}, readers, golden.alpha);
}

for (const [label, learned] of Object.entries(golden.learned)) {
  test(`${label}: losses and steps are those of PyTorch`, async () => {
    const { shape, types, seams, tensors, tensor } = blockOf(learned, 'float64');
    const spec = { shape, types, seams, rates: golden.rates };
    const { graph, outputs } = stepExpression(spec, 'float64');
    const layout = layoutOf(config, types, shape.quantizers.weights, seams);
    const program = await Program.compile(runtime, graph, outputs);
    const plain = { ...shape, quantizers: FULL_PRECISION, maps: {} };
    const targets = await exactOutputs(plain, types, tensors);
    const logits = firstParameters(layout, {}).subarray(0, layout.firstScale);
    let state: Tensors = {
      parameters: tensor([layout.size], [...logits, ...learned.start]),
      mean: tensor([layout.size], new Float64Array(layout.size)),
      square: tensor([layout.size], new Float64Array(layout.size)),
    };
    for (const [step, loss] of learned.losses.entries()) {
      const index = step % golden.exact.length;
      const { correction1, correction2 } = corrections(step);
      const out = await program.run({
        ...tensors,
        ...state,
        x: tensor(ROWS, golden.rounded[index]!),
        target: targets[index]!,
        correction1: tensor([], [correction1]),
        correction2: tensor([], [correction2]),
      });
      // The fixture has nine decimals; the cosines of our tables are rounded to float32.
      assert.ok(Math.abs(Number(out.loss!.data[0]) - loss) <= 2e-6 * Math.max(1, loss), `loss ${step}`);
      state = {
        parameters: out['next.parameters']!,
        mean: out['next.mean']!,
        square: out['next.square']!,
      };
      const expected = step === 0 ? learned.first : step === learned.losses.length - 1 ? learned.last : null;
      const { data } = state.parameters as HostTensor<Float64Array>;
      expected?.forEach((value, i) => {
        assert.ok(Math.abs(data[i]! - value) <= 2e-6, `step ${step}, parameter ${i}: ${data[i]}, ${value}`);
      });
    }
  });

  if (learned.setting.scales)
    test(`${label}: scales start as in PyTorch`, async () => {
      const cache = new ProgramCache(runtime);
      const found = await reference(cache, learned);
      const { shape, types, seams } = blockOf(learned, 'float32');
      const layout = layoutOf(config, types, shape.quantizers.weights, seams);
      const parameters = firstParameters(layout, found).slice(layout.firstScale);
      assert.equal(parameters.length, learned.start.length);
      // Maxima of sums of a few float32 products.
      learned.start.forEach((value, i) => {
        assert.ok(Math.abs(parameters[i]! - value) <= 1e-5 * value, `${i}: ${parameters[i]}, ${value}`);
      });
      await cache.release();
    });
}

/** The outputs of the full-precision block. */
async function exactOutputs(shape: LayerShape, types: StepSpec['types'], tensors: Tensors) {
  const { graph, y } = layerExpression(shape, types, 'plain', false, 'float64');
  const program = await Program.compile(runtime, graph, { y });
  const outputs: HostTensor[] = [];
  for (const x of golden.exact) outputs.push((await program.run({ ...tensors, x: double(ROWS, x) })).y!);
  return outputs;
}
