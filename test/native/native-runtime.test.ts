import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ortLibraryPath, type ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { build, buildAdd, pair } from './graphs.ts';
import type { NodeSpec } from './onnx-model.ts';
import { addon, assertSameBits, cannotMeasure, notBuilt, random, runOperator } from './support.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Resident memory outside JavaScript's heap. */
function nativeBytes(): number {
  collectGarbage();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}

const native = addon && (await createRuntime({ kernels: 'native', threads: 2 }));

after(() => native?.close());

test('native: a signal stops a run on its way', { skip: notBuilt }, async () => {
  // Each product takes milliseconds, all of them seconds.
  const size = 1024;
  const count = 400;
  const nodes = Array.from({ length: count }, (_, i) => {
    return { op: 'MatMul', inputs: [i === 0 ? 'x' : `y${i - 1}`, 'w'], outputs: [`y${i}`] };
  });
  const dims = [size, size];
  const session = await build(
    native!,
    nodes,
    [
      { name: 'x', dims },
      { name: 'w', dims },
    ],
    [{ name: `y${count - 1}`, dims }],
  );
  const x = float32(dims, random(size * size, 1, 0.01));
  const controller = new AbortController();
  const outcome = assert.rejects(session.run({ x, w: x }, [`y${count - 1}`], controller.signal), Cancelled);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const aborted = performance.now();
  controller.abort();
  // Released with the run pending: it must finish first.
  session.release();
  await outcome;
  const elapsed = performance.now() - aborted;
  // One product, not the hundreds that are left; generous, as the machine may be busy.
  assert.ok(elapsed < 1000, `stopped after ${elapsed} ms`);
  await assert.rejects(session.run({ x, w: x }, [`y${count - 1}`]), /released/);
});

test('native: runs at the same time on one session do not disturb each other', {
  skip: notBuilt,
}, async () => {
  const session = await buildAdd(native!);
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) => {
      const a = float32([2, 3], new Float32Array(6).fill(i));
      return session.run({ a, b: a }, ['c']);
    }),
  );
  results.forEach(({ c }, i) => {
    assert.deepEqual(c!.data, new Float32Array(6).fill(2 * i));
  });
  session.release();
});

test('native: threads that spin share out more, with the same bits', { skip: notBuilt }, async () => {
  // Shared out in either session; a chain, since a thread that still spins comes at once.
  const [rows, width, nodes] = [256, 512, 24];
  const dims = [rows, width];
  const name = (at: number) => (at === 0 ? 'x' : `y${at}`);
  const attributes = { block: width, order: 1, transpose: 0, scale: 1 / Math.sqrt(width) };
  const chain = Array.from({ length: nodes }, (_, i): NodeSpec => {
    const ends = { inputs: [name(i)], outputs: [name(i + 1)] };
    return { op: 'Hadamard', domain: 'spinquant', ...ends, attributes, floats: ['scale'] };
  });
  const x = float32(dims, random(rows * width, 1, 1));
  const results: Float32Array[] = [];
  for (const spins of [false, true]) {
    const [input, output] = [
      { name: name(0), dims },
      { name: name(nodes), dims },
    ];
    const session = await build(native!, chain, [input], [output], [], { spins });
    for (let run = 0; run < 5; run++) {
      const found = await session.run({ x }, [output.name]);
      results.push(found[output.name]!.data as Float32Array);
    }
    session.release();
  }
  for (const [run, data] of results.entries()) assertSameBits(data, results[0]!, `run ${run}`);
});

test('native: what is bound ends with its session, and holds its arrays', { skip: notBuilt }, async () => {
  const session = await buildAdd(native!);
  const bind = (value: number) => {
    const a = float32([2, 3], new Float32Array(6).fill(value));
    return session.bind({ a, b: a }, ['c']);
  };
  const many = Array.from({ length: 50 }, (_, i) => bind(i));
  collectGarbage();
  await Promise.all(many.map((bound) => bound.run()));
  for (const [i, { outputs }] of many.entries())
    assert.deepEqual(outputs.c!.data, new Float32Array(6).fill(2 * i));
  many[0]!.release();
  await assert.rejects(many[0]!.run(), /binding has been released/);
  // Released with the run pending: it must finish first.
  const pending = many[1]!.run();
  session.release();
  await pending;
  await assert.rejects(many[1]!.run(), /session of this binding has been released/);
});

test('native: the operators in a session, shared out over threads, give the bits of a direct call', {
  skip: notBuilt,
}, async () => {
  const dims = [65, 11008];
  const x = random(65 * 11008, 4);
  const cases: { op: string; attributes: Record<string, number>; floats?: string[]; inputs?: string[] }[] = [
    { op: 'Hadamard', attributes: { block: 64, scale: 0.125 }, floats: ['scale'] },
    { op: 'FakeQuantize', attributes: { bits: 4, symmetric: 0, clip_ratio: 0.9 }, floats: ['clip_ratio'] },
    { op: 'FakeQuantizeScaleGrad', attributes: { symmetric: 0 }, inputs: ['x', 'other', 'minus'] },
    { op: 'RmsNorm', attributes: { epsilon: 1e-5 }, floats: ['epsilon'] },
  ];
  const plus = { data: x, dims };
  const minus = { data: x.map((value) => -value), dims };
  const given: Record<string, ProbeTensor> = { x: plus, minus, other: { data: x.map(Math.abs), dims } };
  for (const { op, attributes, floats = [], inputs = ['minus'] } of cases) {
    // Between two standard operators, so that the operator may work in place.
    const nodes: NodeSpec[] = [
      { op: 'Neg', inputs: ['x'], outputs: ['minus'] },
      { op: 'Abs', inputs: ['x'], outputs: ['other'] },
      { op, domain: 'spinquant', inputs, outputs: ['out'], attributes, floats },
      { op: 'Neg', inputs: ['out'], outputs: ['y'] },
    ];
    const session = await build(native!, nodes, [{ name: 'x', dims }], [{ name: 'y', dims }]);
    const { y } = await session.run({ x: float32(dims, x) }, ['y']);
    const best = addon!.instructionSets().at(-1)!;
    const tensors = inputs.map((name) => given[name]!);
    const [direct] = runOperator({ name: op, attributes, inputs: tensors, outputs: [x.length] }, best);
    assertSameBits(
      y!.data as Float32Array,
      direct!.map((value) => -value),
      op,
    );
    session.release();
  }
});

test('native: an operator with a fault names itself', { skip: notBuilt }, async () => {
  const node: NodeSpec = {
    op: 'Hadamard',
    domain: 'spinquant',
    inputs: ['a'],
    outputs: ['c'],
    attributes: { block: 3 },
  };
  await assert.rejects(
    build(native!, [node], [pair('a')], [pair('c')]),
    /spinquant::Hadamard: block must be order times/,
  );
  const wide = { ...node, attributes: { block: 4 } };
  const session = await build(native!, [wide], [pair('a')], [pair('c')]);
  const a = float32([2, 3], new Float32Array(6));
  await assert.rejects(
    session.run({ a }, ['c']),
    /spinquant::Hadamard: the last dimension must be a multiple of block 4/,
  );
  session.release();
});

test('native: thousands of runs keep no memory', { skip: cannotMeasure }, async () => {
  const session = await buildAdd(native!);
  const a = float32([2, 3], new Float32Array(6));
  const signal = new AbortController().signal;
  const runMany = async (count: number) => {
    for (let i = 0; i < count; i++) await session.run({ a, b: a }, { c: a }, i % 2 ? signal : undefined);
  };
  await runMany(10000);
  // A leak grows every time; the garbage collector's own memory comes and goes, so every look is after as many runs.
  const growth: number[] = [];
  let before = nativeBytes();
  for (let i = 0; i < 4; i++) {
    await runMany(10000);
    const after = nativeBytes();
    growth.push(after - before);
    before = after;
  }
  // Leaking one OrtValue (about 200 bytes) for each of three tensors would be 6 MB.
  assert.ok(Math.min(...growth) < 3e6, `grew by ${growth.join(', ')} bytes`);
  session.release();
});

test('native: more threads than 64 read, copy and compute', { skip: notBuilt }, () => {
  const source = random(4096, 5);
  const operation = {
    name: 'RmsNorm',
    attributes: { epsilon: 1e-5 },
    inputs: [{ data: source, dims: [256, 16] }],
    outputs: [source.length],
  };
  const best = addon!.instructionSets().at(-1)!;
  const [alone] = runOperator(operation, best);
  for (const threads of [65, 200]) {
    const target = new Float32Array(source.length);
    assert.equal(addon!.readTimes(source, threads, 2).length, 2);
    addon!.copyTimes(source, target, threads, 1);
    assert.deepEqual(target, source);
    assertSameBits(runOperator(operation, best, threads)[0]!, alone!, `${threads} threads`);
  }
  assert.throws(() => addon!.readTimes(source, 0, 1), /threads must be at least 1/);
});

test('native: a session that is refused holds none of its bytes', { skip: cannotMeasure }, async () => {
  const environment = addon!.open(ortLibraryPath()!, 2, addon!.instructionSets()[0]!);
  const refuse = (...wrong: unknown[]) => {
    const bytes = new Uint8Array(1024);
    const create = () => addon!.createSession(environment, bytes, ...(wrong as [0, 0, string]));
    assert.throws(create, TypeError);
    return new WeakRef(bytes);
  };
  const refused = [refuse('one'), refuse(1, 'one'), refuse(1, 1, 1)];
  // What a weak reference was made to stays until the turn ends.
  await new Promise((resolve) => setTimeout(resolve, 0));
  collectGarbage();
  assert.deepEqual(
    refused.map((bytes) => bytes.deref()),
    [undefined, undefined, undefined],
  );
  addon!.close(environment);
});

test('native: runtimes side by side and after each other, with other threads and instruction sets', {
  skip: notBuilt,
}, async () => {
  const a = float32([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
  for (const instructionSet of addon!.instructionSets()) {
    for (const threads of [1, 2, 3]) {
      const runtime = await createRuntime({ kernels: 'native', threads, instructionSet });
      assert.match(runtime.description, new RegExp(`native kernels ${instructionSet}, ${threads} thread`));
      const session = await buildAdd(runtime);
      // The session outlives its runtime.
      runtime.close();
      const { c } = await session.run({ a, b: a }, ['c']);
      assert.deepEqual(c!.data, Float32Array.of(2, 4, 6, 8, 10, 12));
      session.release();
    }
  }
  await assert.rejects(createRuntime({ kernels: 'native', instructionSet: 'mmx' }), /mmx is not usable/);
});
