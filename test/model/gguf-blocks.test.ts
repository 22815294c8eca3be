/** Quantized blocks against the reference's dequantization (scripts/goldens/make_gguf_blocks.py), bit for bit. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGguf } from '../../src/formats/gguf.ts';
import { GGUF_TYPES, isQuantized, readGgufTensor } from '../../src/formats/gguf-types.ts';
import { temporaryFolder } from '../formats/support.ts';
import type { TensorType } from './gguf-writer.ts';
import { ggufBytes } from './gguf-writer.ts';

const FILE = join(import.meta.dirname, '..', 'goldens', 'gguf', 'blocks.json');
const GOLDENS = JSON.parse(readFileSync(FILE, 'utf8')) as Record<
  TensorType,
  { bytes: string; values: string }
>;

test('every quantized type has goldens', () => {
  const types = Object.keys(GGUF_TYPES) as (keyof typeof GGUF_TYPES)[];
  assert.deepEqual(types.filter(isQuantized).sort(), Object.keys(GOLDENS).sort());
});

for (const [type, { bytes, values }] of Object.entries(GOLDENS) as [
  TensorType,
  { bytes: string; values: string },
][]) {
  test(`${type} as the reference has it, bit for bit`, async (t) => {
    const expected = new Uint32Array(Uint8Array.from(Buffer.from(values, 'base64')).buffer);
    const path = join(temporaryFolder(t), 'model.gguf');
    const tensor = { type, dims: [expected.length], bytes: Buffer.from(bytes, 'base64') };
    writeFileSync(path, ggufBytes({ metadata: {}, tensors: { w: tensor } }));
    const { data } = readGgufTensor((await readGguf(path)).tensors.get('w')!);
    assert.deepEqual(new Uint32Array(data.buffer), expected);
  });
}
