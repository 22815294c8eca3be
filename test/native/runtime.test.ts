import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createRuntime, type Runtime } from '../../src/engine/runtime/index.ts';
import { Cancelled, UserError } from '../../src/protocol/errors.ts';
import { type FileTensor, float32, type HostTensor, int64 } from '../../src/protocol/tensor.ts';
import { add, build, buildAdd, pair } from './graphs.ts';
import { type NodeSpec, onnxModel, type ValueSpec } from './onnx-model.ts';
import { addon } from './support.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'runtime-'));
const native = addon && (await createRuntime({ kernels: 'native', threads: 2 }));
const composed = await createRuntime({ kernels: 'composed', threads: 2 });
const runtimes: Runtime[] = native ? [native, composed] : [composed];

after(() => {
  for (const runtime of runtimes) runtime.close();
  rmSync(folder, { recursive: true });
});

for (const runtime of runtimes) {
  const { kernels } = runtime;

  test(`${kernels}: says what it is`, () => {
    assert.match(runtime.description, /^onnxruntime \d+\.\d+\.\d+, .* kernels?.*, 2 threads$/);
    assert.equal(runtime.threads, 2);
  });

  test(`${kernels}: new outputs, outputs filled in place, and only those named`, async () => {
    const nodes = [add, { op: 'Neg', inputs: ['c'], outputs: ['d'] }];
    const session = await build(runtime, nodes, [pair('a'), pair('b')], [pair('c'), pair('d')]);
    const a = float32([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    assert.deepEqual(await session.run({ a, b: a }, ['d']), {
      d: float32([2, 3], Float32Array.of(-2, -4, -6, -8, -10, -12)),
    });
    const own = float32([2, 3], new Float32Array(6));
    const result = await session.run({ a, b: a }, { c: own });
    assert.equal(result.c, own);
    assert.deepEqual(own.data, Float32Array.of(2, 4, 6, 8, 10, 12));
    session.release();
  });

  test(`${kernels}: bound tensors are read and filled where they are`, async () => {
    const session = await buildAdd(runtime);
    const [a, b] = [1, 2].map((seed) => float32([2, 3], new Float32Array(6).fill(seed)));
    const bound = session.bind({ a: a!, b: b! }, ['c']);
    const { c } = bound.outputs;
    await bound.run();
    assert.deepEqual(c!.data, new Float32Array(6).fill(3));
    a!.data.fill(5);
    await bound.run();
    assert.deepEqual(c!.data, new Float32Array(6).fill(7));
    a!.data.fill(9);
    await assert.rejects(bound.run(AbortSignal.abort()), Cancelled);
    assert.deepEqual(c!.data, new Float32Array(6).fill(7));
    await assert.rejects(async () => session.bind({ a: a! }, ['c']).run(), /missing: b/);
    bound.release();
    session.release();
  });

  test(`${kernels}: views into larger buffers, integers, empty tensors and scalars`, async () => {
    const gather: NodeSpec = { op: 'Gather', inputs: ['table', 'ids'], outputs: ['rows'] };
    const ids: ValueSpec = { name: 'ids', dtype: 'int64', dims: [2] };
    const session = await build(
      runtime,
      [gather],
      [{ name: 'table', dims: [3, 2] }, ids],
      [{ name: 'rows', dims: [2, 2] }],
    );
    const buffer = Float32Array.of(9, 9, 0, 1, 2, 3, 4, 5, 9);
    const inputs = {
      table: float32([3, 2], buffer.subarray(2, 8)),
      ids: int64([2], BigInt64Array.of(2n, 0n)),
    };
    assert.deepEqual((await session.run(inputs, ['rows'])).rows!.data, Float32Array.of(4, 5, 0, 1));
    session.release();

    const scale = await build(
      runtime,
      [{ op: 'Mul', inputs: ['x', 's'], outputs: ['y'] }],
      [
        { name: 'x', dims: [0, 4] },
        { name: 's', dims: [] },
      ],
      [{ name: 'y', dims: [0, 4] }],
    );
    const empty = { x: float32([0, 4], new Float32Array(0)), s: float32([], Float32Array.of(2)) };
    assert.deepEqual((await scale.run(empty, ['y'])).y!.data, new Float32Array(0));
    scale.release();
  });

  test(`${kernels}: tensors in files, also misaligned, and after the file was replaced`, async () => {
    const session = await buildAdd(runtime);
    const file = path.join(folder, `${kernels}.bin`);
    const write = (values: Float32Array, offset: number) => {
      const bytes = Buffer.alloc(offset + values.length * 4 + 1);
      values.forEach((value, i) => {
        bytes.writeFloatLE(value, offset + 4 * i);
      });
      writeFileSync(file, bytes);
    };
    const inFile = (byteOffset: number): FileTensor => {
      return { kind: 'file', dtype: 'float32', dims: [2, 3], path: file, byteOffset, byteLength: 24 };
    };
    const b = float32([2, 3], new Float32Array(6));
    for (const offset of [0, 1, 8, 11]) {
      const values = Float32Array.from({ length: 6 }, (_, i) => i + offset);
      write(values, offset);
      for (let repeat = 0; repeat < 2; repeat++) {
        const { c } = await session.run({ a: inFile(offset), b }, ['c']);
        assert.deepEqual(c!.data, values, `offset ${offset}`);
      }
    }
    const fault = (error: unknown) => error instanceof UserError && error.message.includes(file);
    await assert.rejects(session.run({ a: inFile(4096), b }, ['c']), fault);
    rmSync(file);
    await assert.rejects(session.run({ a: inFile(0), b }, ['c']), fault);
    session.release();
  });

  test(`${kernels}: a wrong call says what is wrong`, async () => {
    const session = await buildAdd(runtime);
    const a = float32([2, 3], new Float32Array(6));
    const run = (inputs: Record<string, HostTensor>, outputs: string[]) => session.run(inputs, outputs);
    await assert.rejects(run({ a }, ['c']), { code: 'runtime/inputs', message: /missing: b/ });
    await assert.rejects(run({ a, b: a, e: a }, ['c']), { code: 'runtime/inputs', message: /unknown: e/ });
    await assert.rejects(run({ a, b: a }, ['x']), { code: 'runtime/outputs', message: /no output x/ });
    await assert.rejects(run({ a, b: { ...a, dims: [3, 3] } }, ['c']), {
      code: 'runtime/tensor',
      message: /b is float32\[3, 3\], which takes 36 bytes, but has 24/,
    });
    // Right size, wrong shape: ONNX Runtime's own words.
    await assert.rejects(run({ a, b: { ...a, dims: [3, 2] } }, ['c']), /Got invalid dimensions for input: b/);
    const small = { c: float32([2, 2], new Float32Array(4)) };
    await assert.rejects(session.run({ a, b: a }, small), {
      code: 'runtime/outputs',
      message: /float32\[2, 2\]/,
    });
    session.release();
  });

  test(`${kernels}: bytes that are no model are refused`, async () => {
    await assert.rejects(runtime.createSession(Buffer.from('nonsense'), {}), /protobuf parsing failed/);
    const unknown = onnxModel(
      [{ op: 'NoSuchOperator', inputs: ['a'], outputs: ['c'] }],
      [pair('a')],
      [pair('c')],
    );
    await assert.rejects(runtime.createSession(unknown, {}), /NoSuchOperator/);
  });

  test(`${kernels}: a signal that has fired stops a run before it starts`, async () => {
    const session = await buildAdd(runtime);
    const a = float32([2, 3], new Float32Array(6));
    await assert.rejects(session.run({ a, b: a }, ['c'], AbortSignal.abort()), Cancelled);
    session.release();
  });
}

test('a number of threads that is none is refused', async () => {
  await assert.rejects(createRuntime({ threads: 0 }), { code: 'runtime/threads' });
});
