/** Activations with a factor for each end of their ranges: values of the deployed quantizer, derivatives of differences. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { mul } from '../../src/engine/graph/ops/elementwise.ts';
import { reduceSum } from '../../src/engine/graph/ops/reduce.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { clippedActivation } from '../../src/engine/network/clipped-activation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { atBase, freezeClips } from '../helpers/frozen-clip.ts';
import { noise } from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

const DIMS = [2, 5, 6];
const COUNT = 60;
const [UPPER, LOWER] = [0.85, 0.7];
const QUANTIZERS: Readonly<Record<string, ActivationQuantizer>> = {
  tokens: { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true },
  'groups, zero outside': { bits: 3, symmetric: false, group: 3, clipRatio: 1, includeZero: false },
  symmetric: { bits: 4, symmetric: true, group: 3, clipRatio: 1, includeZero: true },
};

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

/** Rows of both signs, and of one. */
function drawn({ symmetric }: ActivationQuantizer) {
  const random = noise(11);
  const x = Float64Array.from({ length: COUNT }, (_, i) => {
    const [row, value] = [Math.floor(i / 6), random()];
    return row === 3 ? Math.abs(value) + 0.4 : row === 4 ? -Math.abs(value) - 0.4 : value;
  });
  return {
    x: double(DIMS, x),
    upper: double([1], [UPPER]),
    lower: double([1], [symmetric ? UPPER : LOWER]),
    dy: double(
      DIMS,
      Float64Array.from({ length: COUNT }, () => random()),
    ),
  };
}

for (const [name, quantizer] of Object.entries(QUANTIZERS)) {
  test(`${name}: values are those of the quantizer with these ratios`, async () => {
    const graph = new Graph('float64');
    const x = graph.input('x', DIMS);
    const ends = { upper: graph.input('upper', [1]), lower: graph.input('lower', [1]) };
    const y = clippedActivation(x, ends, quantizer);
    const deployed = fakeQuantize(x, { ...quantizer, clipRatio: UPPER, lowerRatio: LOWER });
    const program = await Program.compile(runtime, graph, { y, deployed });
    const tensors = drawn(quantizer);
    const out = await program.run({ x: tensors.x, upper: tensors.upper, lower: tensors.lower });
    // A scale, a quotient and a product, each rounded once, of numbers below 2.
    out.y!.data.forEach((value, i) => {
      assert.ok(Math.abs(Number(value) - Number(out.deployed!.data[i])) <= 2 ** -50, `${i}`);
    });
    assert.ok(new Set(Array.from(out.y!.data, Number)).size > 12, 'not all is one value');
  });

  test(`${name}: derivatives are those of finite differences`, async () => {
    const graph = new Graph('float64');
    const x = graph.input('x', DIMS);
    const [upper, dy] = [graph.input('upper', [1]), graph.input('dy', DIMS)];
    const lower = quantizer.symmetric ? upper : graph.input('lower', [1]);
    const y = clippedActivation(x, { upper, lower }, quantizer);
    const frozen = await freezeClips(runtime, graph, { loss: reduceSum(mul(y, dy), [0, 1, 2], false) });
    const wanted = { x, upper, ...(!quantizer.symmetric && { lower }) };
    const found = gradients([[y, dy]], Object.values(wanted));
    const names = Object.keys(wanted) as ('x' | 'upper' | 'lower')[];
    const outputs = Object.fromEntries(names.map((one, index) => [`d.${one}`, found[index]!]));
    const { lower: last, ...others } = drawn(quantizer);
    const base = quantizer.symmetric ? others : { ...others, lower: last };
    const exact = await (await Program.compile(runtime, graph, outputs)).run(base);
    const at = await atBase(frozen, base);
    const step = 1e-6;
    for (const one of names) {
      const tensor = drawn(quantizer)[one];
      let largest = 0;
      for (let i = 0; i < tensor.data.length; i++) {
        const moved = (by: number): Tensors => {
          const data = Float64Array.from(tensor.data);
          data[i]! += by;
          return { ...base, [one]: double(tensor.dims, data) };
        };
        const slope = ((await at(moved(step))) - (await at(moved(-step)))) / (2 * step);
        const gradient = Number(exact[`d.${one}`]!.data[i]);
        largest = Math.max(largest, Math.abs(gradient));
        // Losses near 10 are known to 1e-15, so slopes to 1e-9; curvature adds step² times numbers near 10³.
        assert.ok(Math.abs(slope - gradient) <= 5e-9, `${one} ${i}: ${gradient} against ${slope}`);
      }
      assert.ok(largest > 0.1, `${one}: ${largest}`);
    }
  });
}
