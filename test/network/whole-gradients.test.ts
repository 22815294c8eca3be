/**
 * A layer whose products forward are of whole numbers has the results and derivatives of one that multiplies rounded
 * factors. Graphs are compared in float64, where the two ways differ by 1e-16 and no code falls to another side.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { gradientName, layerExpression, prepareExpression } from '../../src/engine/network/layer-programs.ts';
import type { LayerShape, WeightForm } from '../../src/engine/network/layer-shape.ts';
import { seamsIn } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import {
  TINY_CONFIG as config,
  layerTypes,
  noise,
  randomLayer,
  tinyQuantizers,
  tinyShape,
} from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ threads: 1 });
});
after(() => runtime.close());

const { hiddenSize: d, headDim: h } = config;
const TOKENS = 10;

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

function given(shape: LayerShape): Tensors {
  const random = noise(5);
  const of = (dims: readonly number[]) =>
    double(dims, Array.from({ length: dims.reduce((a, b) => a * b) }, random));
  const tables = ropeTables(config, shape.sequence);
  return {
    ...randomLayer(config, random),
    cos: double([shape.sequence, h / 2], tables.cos),
    sin: double([shape.sequence, h / 2], tables.sin),
    ...{ x: of([TOKENS, d]), dy: of([TOKENS, d]), residual: of([d, d]), value: of([h, h]) },
  };
}

/** y, ∂loss/∂x and ∂loss/∂map of a layer. */
async function derivatives(shape: LayerShape, tensors: Tensors) {
  const types = layerTypes(config);
  const prepare = prepareExpression({ shape, types, ratios: 'inside' }, 'float64');
  const prepared = await (await Program.compile(runtime, prepare.graph, prepare.outputs)).run(tensors);
  const { graph, x, y, maps } = layerExpression(shape, types, 'merged', true, 'float64');
  const seams = seamsIn(maps);
  const dy = graph.input('dy', y.dims);
  const [dx = null, ...others] = gradients([[y, dy]], [x, ...seams.map((seam) => maps[seam]!)]);
  const named = seams.map((seam, index) => [gradientName(seam), others[index] ?? null]);
  const program = await Program.compile(runtime, graph, { y, dx, ...Object.fromEntries(named) });
  return { found: await program.run({ ...tensors, ...prepared }), prepared };
}

const FORMS: readonly (readonly [WeightForm, dtype: string])[] = [
  ['packed-and-numbers', 'float64'],
  ['packed-and-codes', 'int8'],
];
for (const [form, dtype, live] of FORMS.flatMap((each) =>
  [false, true].map((live) => [...each, live] as const),
))
  test(`results and derivatives of whole products, ${form}${live ? ', through scales too' : ''}`, async () => {
    const shape = tinyShape(tinyQuantizers(config, 4, live));
    const of = (weightForm: WeightForm) => derivatives({ ...shape, weightForm }, given(shape));
    const [numbers, both] = [await of('numbers'), await of(form)];
    assert.ok(both.prepared['q.packed'], 'packed weights are prepared');
    assert.equal(both.prepared['q.prepared']?.dtype, dtype);
    assert.deepEqual(Object.keys(both.found), ['y', 'dx', gradientName('residual'), gradientName('value')]);
    for (const [name, { data }] of Object.entries(numbers.found)) {
      const expected = Float64Array.from(data as Float64Array);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      assert.ok(largest > 1e-3, name);
      (both.found[name]!.data as Float64Array).forEach((value, i) => {
        // Some thousand operations of 1e-16 each.
        assert.ok(Math.abs(value - expected[i]!) <= 1e-12 * largest, `${name} ${i}`);
      });
    }
  });
