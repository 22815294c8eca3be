/** Weights on grids with shortened ends: values against loops, codes against values, derivatives against differences. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { mul } from '../../src/engine/graph/ops/elementwise.ts';
import { reduceSum } from '../../src/engine/graph/ops/reduce.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { clippedCodes, clippedWeight } from '../../src/engine/network/clipped-weight.ts';
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

const [OUT, IN] = [5, 8];
const GRIDS = [
  { bits: 4, symmetric: true, group: 0 },
  { bits: 3, symmetric: true, group: 4 },
  { bits: 4, symmetric: false, group: 0 },
  { bits: 2, symmetric: false, group: 4 },
] as const;
type GridOptions = (typeof GRIDS)[number];
const label = ({ bits, symmetric, group }: GridOptions) =>
  `${bits} bits, ${symmetric ? 'symmetric' : 'asymmetric'} ${group ? 'groups' : 'rows'}`;

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

/** Weights of both signs, with rows of one sign too, and factors that cut off some of them. */
function drawn({ group }: GridOptions) {
  const random = noise(5);
  const w = Float64Array.from({ length: OUT * IN }, (_, i) => {
    const row = Math.floor(i / IN);
    const value = random();
    return row === 3 ? Math.abs(value) + 0.1 : row === 4 ? -Math.abs(value) - 0.1 : value;
  });
  const groups = group ? IN / group : 1;
  const factors = () => Float64Array.from({ length: OUT * groups }, () => 0.75 + 0.24 * random());
  const [upper, lower] = [factors(), factors()];
  if (group) {
    // The ends of this group would pass each other.
    for (let i = 0; i < group; i++) w[3 * IN + i] = 1 + 0.02 * random();
    [upper[3 * groups], lower[3 * groups]] = [0.8, 0.98];
  }
  return {
    w: double([OUT, IN], w),
    upper: double([OUT, groups], upper),
    lower: double([OUT, groups], lower),
    dy: double([OUT, IN], Float64Array.from({ length: OUT * IN }, random)),
  };
}

/** The formula in loops. */
function inLoops({ w, upper, lower }: ReturnType<typeof drawn>, { bits, symmetric, group }: GridOptions) {
  const size = group || IN;
  const expected = new Float64Array(w.data.length);
  const even = (x: number) => {
    const down = Math.floor(x);
    if (x - down !== 0.5) return Math.round(x);
    return down % 2 === 0 ? down : down + 1;
  };
  for (let grid = 0; grid < w.data.length / size; grid++) {
    const row = w.data.subarray(grid * size, (grid + 1) * size);
    let [lo, hi] = [Math.min(...row), Math.max(...row)];
    if (!group) [lo, hi] = [Math.min(lo, 0), Math.max(hi, 0)];
    const ends = [lo * lower.data[grid]!, hi * upper.data[grid]!] as const;
    if (symmetric || ends[0] < ends[1]) [lo, hi] = ends;
    const [first, last] = symmetric ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    const s = symmetric ? Math.max(Math.abs(lo), Math.abs(hi)) / last : (hi - lo) / last;
    const z = symmetric ? 0 : even(-lo / s);
    row.forEach((value, i) => {
      const code = Math.min(Math.max(even(value / s) + z, first), last);
      expected[grid * size + i] = s * (code - z);
    });
  }
  return expected;
}

function expression(grid: GridOptions) {
  const graph = new Graph('float64');
  const groups = grid.group ? IN / grid.group : 1;
  const w = graph.input('w', [OUT, IN]);
  const [upper, lower] = [graph.input('upper', [OUT, groups]), graph.input('lower', [OUT, groups])];
  const quantizer = { ...grid, clipSearch: false };
  const y = clippedWeight(w, upper, lower, quantizer);
  return { graph, w, upper, lower, y, quantizer };
}

for (const grid of GRIDS) {
  test(`${label(grid)}: values are those of loops, and codes times scales are these`, async () => {
    const { graph, w, upper, lower, y, quantizer } = expression(grid);
    const { codes, scale, zero } = clippedCodes(w, upper, lower, quantizer);
    const program = await Program.compile(runtime, graph, { y, codes, scale, zero });
    const tensors = drawn(grid);
    const out = await program.run(tensors);
    const expected = inLoops(tensors, grid);
    assert.ok(new Set(expected).size > OUT, 'not all is one value');
    const perGrid = grid.group || IN;
    const half = 2 ** (grid.bits - 1);
    expected.forEach((value, i) => {
      const at = Math.floor(i / perGrid);
      const code = Number(out.codes!.data[i]);
      // A product and a difference of float64 numbers near one.
      assert.ok(Math.abs(Number(out.y!.data[i]) - value) <= 1e-14, `${i}`);
      assert.ok(Number.isInteger(code) && code >= -half && code < half, `code ${code}`);
      const rebuilt = Number(out.scale!.data[at]) * (code - Number(out.zero!.data[at]));
      assert.ok(Math.abs(rebuilt - value) <= 1e-14, `${i} by its code`);
    });
  });

  test(`${label(grid)}: derivatives are those of finite differences`, async () => {
    const { graph, w, upper, lower, y } = expression(grid);
    const dy = graph.input('dy', [OUT, IN]);
    const loss = reduceSum(mul(y, dy), [0, 1], false);
    const frozen = await freezeClips(runtime, graph, { loss });
    const wanted = { w, upper, lower };
    const found = gradients([[y, dy]], Object.values(wanted));
    const names = Object.keys(wanted) as (keyof typeof wanted)[];
    const outputs = Object.fromEntries(names.map((name, index) => [`d.${name}`, found[index]!]));
    const base = drawn(grid);
    const exact = await (await Program.compile(runtime, graph, outputs)).run(base);
    const at = await atBase(frozen, base);
    const step = 1e-6;
    let largest = 0;
    for (const name of names)
      for (let i = 0; i < base[name].data.length; i++) {
        const moved = (by: number): Tensors => {
          const data = Float64Array.from(base[name].data);
          data[i]! += by;
          return { ...base, [name]: double(base[name].dims, data) };
        };
        const slope = ((await at(moved(step))) - (await at(moved(-step)))) / (2 * step);
        const gradient = Number(exact[`d.${name}`]!.data[i]);
        largest = Math.max(largest, Math.abs(gradient));
        // Losses near 1 are known to 1e-16, so slopes to 1e-10; curvature adds step² times numbers near 10³.
        assert.ok(Math.abs(slope - gradient) <= 2e-9, `${name} ${i}: ${gradient} against ${slope}`);
      }
    assert.ok(largest > 0.1);
  });
}

test('rows of zeros, and groups of one value, stay as they are', async () => {
  for (const symmetric of [true, false]) {
    const graph = new Graph('float64');
    const w = graph.input('w', [2, 4]);
    const factors = graph.input('factors', [2, 2]);
    const quantizer = { bits: 4, symmetric, group: 2, clipSearch: false };
    const y = clippedWeight(w, factors, factors, quantizer);
    const [dw, df] = gradients([[y, w]], [w, factors]);
    const program = await Program.compile(runtime, graph, { y, dw: dw!, df: df! });
    const values = [0, 0, 0.3, 0.3, -0.2, -0.2, 0, 0];
    const out = await program.run({ w: double([2, 4], values), factors: double([2, 2], [1, 1, 1, 1]) });
    const all = [...out.y!.data, ...out.dw!.data, ...out.df!.data].map(Number);
    assert.ok(all.every(Number.isFinite), `${symmetric}: ${all}`);
    values.forEach((value, i) => {
      assert.ok(Math.abs(Number(out.y!.data[i]) - value) <= 1e-15, `${symmetric} ${i}`);
    });
  }
});
