/** Attention over rounded keys and values of a whole text, and over their codes. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { causalAttention } from '../../src/engine/graph/fused/causal-attention.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { lower } from '../../src/engine/graph/lower/index.ts';
import { abs } from '../../src/engine/graph/ops/elementwise.ts';
import { gatherRows, reshape, transpose } from '../../src/engine/graph/ops/shape.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { int64 } from '../../src/protocol/tensor.ts';
import { noise, randomTensor } from '../helpers/tiny-network.ts';
import { notBuilt, ROUNDING } from '../native/support.ts';

const native = notBuilt ? null : await createRuntime({ kernels: 'native', threads: 2 });
after(() => native?.close());

const [GROUPS, REPEATS, ROWS, WIDTH] = [2, 2, 70, 12];

/** The same runtime as on another processor. */
function withCodes(attendsCodes: boolean): Runtime {
  const createSession = { value: native!.createSession.bind(native!) };
  const inputType = { value: native!.inputType.bind(native!) };
  return Object.create(native, { attendsCodes: { value: attendsCodes }, createSession, inputType });
}

interface Settings {
  readonly keys: ActivationQuantizer;
  readonly values: ActivationQuantizer;
  readonly window: number;
  /** Values come by a table of rows. */
  readonly gathers: boolean;
}

const QUANTIZER: ActivationQuantizer = {
  ...{ bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true },
};
const VALUES = { ...QUANTIZER, group: WIDTH, includeZero: false };

function build({ keys, values, window, gathers }: Settings): {
  graph: Graph;
  outputs: Record<string, Value>;
} {
  const graph = new Graph();
  const q = graph.input('q', [1, GROUPS, REPEATS * ROWS, WIDTH]);
  // Where keys are not rounded, an operator with one input stands in place of their quantizer.
  const k = fakeQuantize(abs(graph.input('k', [1, GROUPS, ROWS, WIDTH])), keys);
  const rounded = fakeQuantize(graph.input('v', [ROWS, GROUPS * WIDTH]), values);
  const rows = gathers ? gatherRows(rounded, graph.input('rows', [ROWS], 'int64')) : rounded;
  const v = transpose(reshape(rows, [1, ROWS, GROUPS, WIDTH]), [0, 2, 1, 3]);
  const [mixed, logSum] = causalAttention(q, k, v, { scale: 1 / Math.sqrt(WIDTH), rows: ROWS, window });
  return { graph, outputs: { mixed, logSum } };
}

const namesOf = (runtime: Runtime, graph: Graph, outputs: Record<string, Value>): string[] =>
  lower(runtime, graph, outputs, {}).graph.nodes.map(({ op }) => op.name);

async function run(runtime: Runtime, settings: Settings): Promise<Float32Array> {
  const { graph, outputs } = build(settings);
  const random = noise(3);
  const tensors = {
    q: randomTensor([1, GROUPS, REPEATS * ROWS, WIDTH], random, 1),
    k: randomTensor([1, GROUPS, ROWS, WIDTH], random, 1),
    v: randomTensor([ROWS, GROUPS * WIDTH], random, 1),
    ...(settings.gathers && {
      rows: int64(
        [ROWS],
        BigInt64Array.from({ length: ROWS }, (_, row) => BigInt((row * 3) % ROWS)),
      ),
    }),
  };
  const program = await Program.compile(runtime, graph, { mixed: outputs.mixed! });
  const { mixed } = await program.run(tensors);
  program.release();
  return mixed!.data as Float32Array;
}

/**
 * Values are at most 1.1 in size, scores at most 12 · 1.1 / √12 with up to 3 · 12 roundings: e^score is off by that on
 * either side, and by the exponential's own error, at most 4·10⁻⁷ for each of two steps. Weighted means of up to 70 values
 * add as many roundings; three bytes are off by 2⁻²¹ of the largest weight, for each of them at most.
 */
const BOUND = 1.1 * (4 * 3 * 12 * 4 * ROUNDING + 4 * 3 * 4e-7 + 2 * 70 * ROUNDING + 70 * 2 ** -21);

const CASES: readonly (readonly [string, Settings])[] = [
  ['4 bits', { keys: QUANTIZER, values: VALUES, window: 0, gathers: false }],
  [
    'groups, a window, shared rows',
    {
      keys: { ...QUANTIZER, bits: 8, group: 4 },
      values: { ...VALUES, symmetric: true, group: 6 },
      window: 9,
      gathers: true,
    },
  ],
];

for (const [name, settings] of CASES) {
  test(`attention of a text over codes is that over what they stand for: ${name}`, {
    skip: notBuilt,
  }, async () => {
    const { graph, outputs } = build(settings);
    const mixed = { mixed: outputs.mixed! };
    assert.ok(namesOf(withCodes(true), graph, mixed).includes('PackedAttention'));
    assert.ok(!namesOf(withCodes(false), graph, mixed).includes('PackedAttention'));
    const [found, expected] = [await run(withCodes(true), settings), await run(withCodes(false), settings)];
    for (const [i, value] of found.entries())
      assert.ok(Math.abs(value - expected[i]!) <= BOUND, `[${i}] ${value} against ${expected[i]}`);
  });
}

test('attention stays where its sums are read, or groups reach past a head', { skip: notBuilt }, () => {
  const [, settings] = CASES[0]!;
  const { graph, outputs } = build(settings);
  assert.ok(!namesOf(withCodes(true), graph, outputs).includes('PackedAttention'));
  const plain = build({ ...settings, keys: { ...QUANTIZER, bits: 16 } });
  assert.ok(
    !namesOf(withCodes(true), plain.graph, { mixed: plain.outputs.mixed! }).includes('PackedAttention'),
  );
  const wide = build({ ...settings, values: { ...VALUES, group: 0 } });
  assert.ok(
    !namesOf(withCodes(true), wide.graph, { mixed: wide.outputs.mixed! }).includes('PackedAttention'),
  );
});
