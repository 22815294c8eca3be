import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadExperiment } from '../../src/engine/index.ts';
import { placeDemo } from '../../src/extension/demo/files.ts';
import { temporaryFolder } from '../formats/support.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

test('the demo is an experiment without faults, in a folder of its own', async (t) => {
  const folder = join(temporaryFolder(t), 'a', 'demo');
  const file = await placeDemo(ROOT, folder);
  const { source, rotation } = await loadExperiment(file, 'optimize');
  assert.deepEqual(source.warnings, []);
  assert.deepEqual([rotation.r1, rotation.learning.objective], ['learned', 'peak']);
  assert.deepEqual(readdirSync(folder).sort(), [
    'calibration.txt',
    'demo.spinquant.json',
    'model',
    'test.txt',
  ]);
});

test('what a person changed in it stays', async (t) => {
  const folder = temporaryFolder(t);
  const file = await placeDemo(ROOT, folder);
  writeFileSync(file, '{}');
  writeFileSync(join(folder, 'test.txt'), 'mine');
  assert.equal(await placeDemo(ROOT, folder), file);
  assert.deepEqual(
    [readFileSync(file, 'utf8'), readFileSync(join(folder, 'test.txt'), 'utf8')],
    ['{}', 'mine'],
  );
});

test('what the demo is made of is packed', () => {
  const packed = readFileSync(join(ROOT, '.vscodeignore'), 'utf8').split('\n');
  for (const line of ['!examples/demo/*.txt', '!examples/demo/model/*'])
    assert.ok(packed.includes(line), line);
});
