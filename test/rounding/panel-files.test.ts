/** Files of packed weights: what was written is read, and nothing else. A fault of the disk is none of the work. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PanelFiles } from '../../src/engine/rounding/panel-files.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { float32, type HostTensor, type Tensor } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';

const PART = 'layer-0000';
/** Panels larger than what is looked at whole, in which every byte has its place. */
const BYTES: HostTensor<Int8Array> = {
  kind: 'host',
  dtype: 'int8',
  dims: [5, 300, 64],
  data: Int8Array.from({ length: 5 * 300 * 64 }, (_, i) => (i * 7) % 251),
};
const GRID = float32(
  [5, 2, 16],
  Float32Array.from({ length: 160 }, (_, i) => i / 3),
);
const TENSORS = { 'q.packed': BYTES, 'q.grid': GRID };
const TYPES = Object.entries(TENSORS).map(([name, { dtype, dims }]) => ({ name, dtype, dims }));

const filesIn = (folder: string, key = 'key', check: () => void = () => undefined): PanelFiles =>
  new PanelFiles(folder, { key: async () => key, check });

const pathIn = (folder: string): string => join(folder, `${PART}.safetensors`);

async function written(t: Parameters<typeof temporaryFolder>[0]): Promise<string> {
  const folder = join(temporaryFolder(t), 'packed');
  assert.equal(await filesIn(folder).write(PART, TENSORS), true);
  return folder;
}

test('what was written is read: every bit, and on whole cache lines', async (t) => {
  const folder = await written(t);
  const found = await filesIn(folder).read(PART, TYPES);
  assert.ok(found);
  const contents = (tensor: Tensor | undefined) => (tensor?.kind === 'file' ? readTensor(tensor) : null);
  assert.deepEqual(contents(found['q.packed']), BYTES);
  assert.deepEqual(contents(found['q.grid']), GRID);
  for (const tensor of Object.values(found))
    assert.equal(tensor.kind === 'file' && tensor.byteOffset % 64, 0);
  assert.equal(await filesIn(folder).read('layer-0001', TYPES), null);
  assert.deepEqual(readdirSync(folder), [`${PART}.safetensors`]);
});

test('files of another key, layout, format or shape are not read', async (t) => {
  const folder = await written(t);
  assert.equal(await filesIn(folder, 'other').read(PART, TYPES), null);
  const wider = TYPES.map((type) => ({ ...type, dims: type.dims.with(0, 6) }));
  assert.equal(await filesIn(folder).read(PART, wider), null);
  assert.equal(await filesIn(folder).read(PART, TYPES.slice(1)), null);
  const bytes = readFileSync(pathIn(folder), 'latin1');
  for (const [from, to] of [
    ['"layout":"2"', '"layout":"0"'],
    ['spinquant packed weights', 'spinquant rounded layers'],
    ['"digest"', '"dogest"'],
  ] as const) {
    assert.ok(bytes.includes(from));
    writeFileSync(pathIn(folder), bytes.replace(from, to), 'latin1');
    assert.equal(await filesIn(folder).read(PART, TYPES), null, from);
  }
  writeFileSync(pathIn(folder), bytes, 'latin1');
  assert.ok(await filesIn(folder).read(PART, TYPES));
});

test('damaged files are not read, and written anew', async (t) => {
  const folder = await written(t);
  const whole = readFileSync(pathIn(folder));
  const change = (at: number): Buffer => {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 0x40;
    return bytes;
  };
  const found = await filesIn(folder).read(PART, TYPES);
  const grid = found?.['q.grid'];
  assert.ok(grid?.kind === 'file');
  const damaged: [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['a header cut', whole.subarray(0, 40)],
    ['a byte cut', whole.subarray(0, -1)],
    ['a byte more', Buffer.concat([whole, Buffer.alloc(1)])],
    ['zeros', Buffer.alloc(whole.length)],
    ['the length of the header', change(6)],
    ['the header', change(20)],
    ['the first panel', change(grid.byteOffset + grid.byteLength)],
    ['the last panel', change(whole.length - 1)],
  ];
  for (let i = 0; i < GRID.data.byteLength; i += 37) damaged.push([`grid ${i}`, change(grid.byteOffset + i)]);
  for (const [what, bytes] of damaged) {
    writeFileSync(pathIn(folder), bytes);
    assert.equal(await filesIn(folder).read(PART, TYPES), null, what);
  }
  truncateSync(pathIn(folder), 1000);
  assert.equal(await filesIn(folder).write(PART, TENSORS), true);
  assert.deepEqual(readFileSync(pathIn(folder)), whole);
});

test('a folder in the place of a file is neither read nor replaced', async (t) => {
  const folder = join(temporaryFolder(t), 'packed');
  mkdirSync(pathIn(folder), { recursive: true });
  assert.equal(await filesIn(folder).read(PART, TYPES), null);
  assert.equal(await filesIn(folder).write(PART, TENSORS), false);
  assert.ok(statSync(pathIn(folder)).isDirectory());
});

test('where nothing can be written, that is no fault, and tried once', async (t) => {
  const parent = temporaryFolder(t);
  // The run is gone, or what should be a folder is a file: root too may not write there.
  writeFileSync(join(parent, 'file'), 'a file');
  for (const folder of [
    join(parent, 'gone', 'packed'),
    join(parent, 'file'),
    join(parent, 'file', 'packed'),
  ]) {
    let checks = 0;
    const files = filesIn(folder, 'key', () => {
      checks++;
    });
    assert.equal(await files.read(PART, TYPES), null);
    assert.equal(await files.write(PART, TENSORS), false);
    assert.equal(await files.write(PART, TENSORS), false);
    assert.equal(checks, 1);
  }
  assert.deepEqual(readdirSync(parent), ['file']);
});

test('a folder that is another process’s by now is a fault, and gets nothing', async (t) => {
  const folder = join(temporaryFolder(t), 'packed');
  const lost = filesIn(folder, 'key', () => {
    throw new UserError('runs/lost', 'The run is of another process.');
  });
  await assert.rejects(lost.write(PART, TENSORS), /another process/);
  assert.equal(await filesIn(folder).read(PART, TYPES), null);
  rmSync(folder, { recursive: true, force: true });
});
