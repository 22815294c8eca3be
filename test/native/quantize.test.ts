import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addon,
  assertSameBits,
  difficultRows,
  forEachVariant,
  notBuilt,
  type Operation,
  random,
  runOperator,
} from './support.ts';

function checkFakeQuantize(rows: number, width: number, bits: number, symmetric: number): void {
  const group = width === 288 ? 32 : 0;
  const operation: Operation = {
    name: 'FakeQuantize',
    attributes: {
      ...{ bits, symmetric, group, clip_ratio: bits === 4 ? 0.9 : 1, include_zero: rows % 2 },
      ...(rows === 4 && { lower_ratio: 0.8 }),
    },
    inputs: [{ data: difficultRows(width, rows), dims: [rows, width] }],
    outputs: [rows * width],
  };
  const [expected] = runOperator(operation, 'reference');
  assert.ok(expected!.every(Number.isFinite));
  forEachVariant((instructionSet, threads) => {
    const what = `${JSON.stringify(operation.attributes)} [${rows}, ${width}] ${instructionSet}`;
    assertSameBits(runOperator(operation, instructionSet, threads)[0]!, expected!, what);
  });
}

test('FakeQuantize: every instruction set gives the bits of the reference', { skip: notBuilt }, () => {
  for (const width of [1, 3, 172, 288, 576, 11008]) {
    for (const rows of width > 10000 ? [3] : [1, 4, 65]) {
      for (const bits of [2, 4, 8])
        for (const symmetric of [0, 1]) checkFakeQuantize(rows, width, bits, symmetric);
    }
  }
});

test('FakeQuantizeRows: the same values, and the scale that they are whole multiples of', {
  skip: notBuilt,
}, () => {
  for (const bits of [2, 4, 8])
    for (const symmetric of [0, 1]) {
      const [rows, width] = [65, 172];
      const attributes = { bits, symmetric, clip_ratio: 0.9, include_zero: 1 };
      const inputs = [{ data: difficultRows(width, rows), dims: [rows, width] }];
      const [values] = runOperator(
        { name: 'FakeQuantize', attributes, inputs, outputs: [rows * width] },
        'reference',
      );
      const operation: Operation = {
        name: 'FakeQuantizeRows',
        attributes,
        inputs,
        outputs: [rows * width, rows],
      };
      forEachVariant((instructionSet, threads) => {
        const [y, scales] = runOperator(operation, instructionSet, threads);
        assertSameBits(y!, values!, `${JSON.stringify(attributes)} ${instructionSet}`);
        y!.forEach((value, i) => {
          const scale = scales![Math.floor(i / width)]!;
          const level = Math.round(value / scale);
          assert.ok(
            Math.abs(level) < 256 && Math.fround(level * scale) === value,
            `${value} is ${level} × ${scale}`,
          );
        });
      });
    }
  const run = (attributes: Record<string, number>) =>
    runOperator(
      {
        name: 'FakeQuantizeRows',
        attributes,
        inputs: [{ data: new Float32Array(4), dims: [1, 4] }],
        outputs: [4, 1],
      },
      'reference',
    );
  assert.throws(() => run({ group: 2, symmetric: 1 }), /group must be 0, found 2/);
  assert.throws(() => run({ symmetric: 0 }), /leaves out zero/);
});

/** Codes and scales of rows, and the floats that they stand for. */
function throughBytes(
  inputs: Operation['inputs'],
  attributes: Record<string, number>,
  ...how: [string, number?]
) {
  const [rows, width] = inputs[0]!.dims as [number, number];
  const [codes, scales] = [new Int8Array(rows * width), new Float32Array(rows)];
  addon!.runOperator('QuantizeRows', how[0], attributes, inputs, [codes, scales], how[1] ?? 1, 1);
  const factors = [
    { data: codes, dims: [rows, width] },
    { data: scales, dims: [rows] },
  ];
  const [values] = runOperator(
    { name: 'RowMultiples', attributes: {}, inputs: factors, outputs: [rows * width] },
    ...how,
  );
  return { codes, scales, values: values! };
}

test('QuantizeRows and RowMultiples: every instruction set gives the codes of the reference and FakeQuantizeRows’ values', {
  skip: notBuilt,
}, () => {
  for (const width of [1, 15, 172, 576])
    for (const [bits, symmetric] of [
      [2, 0],
      [4, 0],
      [7, 0],
      [4, 1],
      [8, 1],
    ] as const) {
      const rows = 65;
      const attributes = { bits, symmetric, clip_ratio: 0.9, include_zero: 1 };
      // No numbers so small that their scale vanishes.
      const data = difficultRows(width, rows).map((value) => (Math.abs(value) < 1e-30 ? 0 : value));
      const inputs = [{ data, dims: [rows, width] }];
      const outputs = [rows * width, rows];
      const [floats] = runOperator({ name: 'FakeQuantizeRows', attributes, inputs, outputs }, 'reference');
      const expected = throughBytes(inputs, attributes, 'reference');
      // Zeros have no sign here.
      const positive = floats!.map((value) => (value === 0 ? 0 : value));
      assert.ok(new Set(expected.codes).size > (width === 1 ? 1 : bits), 'the codes differ');
      forEachVariant((instructionSet, threads) => {
        const what = `${JSON.stringify(attributes)} ${width} ${instructionSet}`;
        const found = throughBytes(inputs, attributes, instructionSet, threads);
        assert.deepEqual(found.codes, expected.codes, what);
        assertSameBits(found.scales, expected.scales, what);
        assertSameBits(found.values, positive, what);
      });
    }
});

test('QuantizeRows refuses codes that do not fit a byte, RowMultiples scales that do not fit the codes', {
  skip: notBuilt,
}, () => {
  const inputs = [{ data: new Float32Array(4), dims: [1, 4] }];
  const wide = { bits: 8, symmetric: 0, include_zero: 1 };
  assert.throws(() => throughBytes(inputs, wide, 'portable'), /codes of 8 bits .* do not fit a byte/);
  const factors = [
    { data: new Int8Array(4), dims: [2, 2] },
    { data: new Float32Array(1), dims: [1] },
  ];
  assert.throws(
    () => runOperator({ name: 'RowMultiples', attributes: {}, inputs: factors, outputs: [4] }, 'portable'),
    /shape of the rows of codes \[2, 2\], found \[1\]/,
  );
});

test('FakeQuantize: values by hand', { skip: notBuilt }, () => {
  const run = (x: number[], attributes: Record<string, number>) =>
    Array.from(
      runOperator(
        {
          name: 'FakeQuantize',
          attributes,
          inputs: [{ data: Float32Array.from(x), dims: [x.length] }],
          outputs: [x.length],
        },
        'portable',
      )[0]!,
    );
  // Scale 1: halves go to the even neighbour.
  assert.deepEqual(run([7, 0.5, 1.5, 2.5, -3.5, -7], { bits: 4, symmetric: 1 }), [7, 0, 2, 2, -4, -7]);
  // Levels 0..3 over [-1, 2]: scale 1, zero point 1.
  assert.deepEqual(run([-1, 2, 0.4, 0.6], { bits: 2, symmetric: 0 }), [-1, 2, 0, 1]);
  assert.deepEqual(run([5, 5, 5], { bits: 4, symmetric: 0 }), [5, 5, 5]);
  assert.deepEqual(run([0, 0], { bits: 4, symmetric: 0 }), [0, 0]);
});

const candidates = Array.from({ length: 80 }, (_, i) => Math.fround(1 - i / 100));

/** Σ |Q(w) - w|^2.4 for each candidate, from the definition: float32 quantization, double sums. */
function candidateErrors(w: Float32Array, bits: number, symmetric: boolean, forceZero: boolean): number[] {
  const f = Math.fround;
  let low = w.reduce((a, b) => Math.min(a, b));
  let high = w.reduce((a, b) => Math.max(a, b));
  if (forceZero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (!symmetric && low === 0 && high === 0) [low, high] = [-1, 1];
  const top = symmetric ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const bottom = symmetric ? -top - 1 : 0;
  const largest = Math.max(Math.abs(low), Math.abs(high), f(1e-5));
  return candidates.map((p) => {
    const scale = symmetric ? f(f(p * largest) / top) : f(f(f(high * p) - f(low * p)) / top);
    const zero = symmetric ? 0 : roundEven(f(f(-f(low * p)) / scale));
    let total = 0;
    for (const value of w) {
      const level = Math.min(Math.max(f(roundEven(f(value / scale)) + zero), bottom), top);
      total += Math.abs(f(scale * f(level - zero)) - value) ** 2.4;
    }
    return total;
  });
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction !== 0.5) return fraction < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

test('FakeQuantizeWeight: the clip ratio has the least error, and the weights follow from it', {
  skip: notBuilt,
}, () => {
  for (const [rows, width, group] of [
    [1, 1, 0],
    [3, 3, 0],
    [5, 172, 0],
    [9, 576, 0],
    [3, 288, 32],
    [2, 11008, 0],
  ] as const) {
    for (const bits of [3, 4, 8]) {
      for (const symmetric of [true, false]) checkSearch(rows, width, group, bits, symmetric);
    }
  }
});

function checkSearch(rows: number, width: number, group: number, bits: number, symmetric: boolean): void {
  const size = group || width;
  const groups = (rows * width) / size;
  // Cubes of uniform numbers: a few large weights, so that clipping pays.
  const w = random(rows * width, bits + width).map((x) => x ** 3 * 0.1);
  if (rows >= 5) w.fill(0, width, 2 * width);
  const operation: Operation = {
    name: 'FakeQuantizeWeight',
    attributes: { bits, symmetric: Number(symmetric), group, clip_search: 1 },
    inputs: [{ data: w, dims: [rows, width] }],
    outputs: [rows * width, groups],
  };
  const [expectedY, expectedRatio] = runOperator(operation, 'reference');
  const errors = Array.from({ length: groups }, (_, g) =>
    candidateErrors(w.subarray(g * size, (g + 1) * size), bits, symmetric, group === 0),
  );
  expectedRatio!.forEach((ratio, g) => {
    assert.equal(errors[g]![candidates.indexOf(ratio)], Math.min(...errors[g]!), 'the reference itself');
  });
  forEachVariant((instructionSet, threads) => {
    const [y, ratio] = runOperator(operation, instructionSet, threads);
    ratio!.forEach((p, g) => {
      const what = `${JSON.stringify(operation.attributes)} [${rows}, ${width}] ${instructionSet} group ${g}`;
      const error = errors[g]![candidates.indexOf(p)]!;
      // Candidates within 1e-6 of each other count as tied: |e|^2.4 is computed that well.
      assert.ok(
        error <= Math.min(...errors[g]!) * (1 + 2e-6),
        `${what}: ratio ${p}, best ${expectedRatio![g]}`,
      );
      if (p !== expectedRatio![g]) return;
      const part = [g * size, (g + 1) * size] as const;
      assertSameBits(y!.subarray(...part), expectedY!.subarray(...part), what);
    });
    const given = {
      ...operation,
      inputs: [...operation.inputs, { data: ratio!, dims: [rows, width / size] }],
    };
    const [again, same] = runOperator(given, instructionSet, threads);
    assertSameBits(again!, y!, `given ratios ${instructionSet}`);
    assertSameBits(same!, ratio!, `given ratios ${instructionSet}`);
  });
}

test('FakeQuantizeWeight: without search the ratio is 1', { skip: notBuilt }, () => {
  const w = difficultRows(172, 65);
  for (const symmetric of [0, 1]) {
    for (const group of [0, 4]) {
      const operation: Operation = {
        name: 'FakeQuantizeWeight',
        attributes: { bits: 4, symmetric, group, clip_search: 0 },
        inputs: [{ data: w, dims: [65, 172] }],
        outputs: [w.length, group ? w.length / group : 65],
      };
      const [expected] = runOperator(operation, 'reference');
      forEachVariant((instructionSet, threads) => {
        const [y, ratio] = runOperator(operation, instructionSet, threads);
        assert.ok(ratio!.every((p) => p === 1));
        assertSameBits(y!, expected!, `${JSON.stringify(operation.attributes)} ${instructionSet}`);
      });
    }
  }
});
