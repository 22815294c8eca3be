import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { temporaryFolder } from '../formats/support.ts';
import { watch } from './watch.ts';

test('the watcher finds every fault that a reader may have, and no other', async (t) => {
  const dir = temporaryFolder(t);
  const [input, keep] = [join(dir, 'input'), join(dir, 'keep')];
  const seen = async (text: string) => {
    writeFileSync(input, text);
    const { accepted, refused, faults } = await watch({
      format: 'faulty',
      seed: 0,
      first: 0,
      count: 1,
      input,
      keep,
    });
    return { accepted, refused, faults: faults.map(({ index, fault }) => `${index} ${fault.kind}`) };
  };
  assert.deepEqual(await seen('accepted'), { accepted: 1, refused: 0, faults: [] });
  assert.deepEqual(await seen('refused'), { accepted: 0, refused: 1, faults: [] });
  for (const kind of ['NoHint', 'TypeError', 'Insane', 'crash', 'hang'])
    assert.deepEqual(await seen(kind), { accepted: 0, refused: 0, faults: [`0 ${kind}`] });
  // It may be seen at its peak, or told afterwards.
  const { faults } = await seen('memory');
  assert.deepEqual(faults, ['0 memory']);
});
