/** Damaged inputs of every format end in words, not in a crash, a hang, a want of memory or a stack trace. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { commandOf, fuzz, grouped } from './campaign.ts';
import { FORMATS } from './formats/index.ts';
import { isKnown } from './known.ts';

const COUNT = 150;
const SEED = 11;

describe('damaged inputs', { concurrency: 2 }, () => {
  for (const { name } of FORMATS)
    test(name, async (t) => {
      const { accepted, refused, failures, seconds } = await fuzz(name, SEED, COUNT);
      t.diagnostic(`${name}: ${accepted} accepted, ${refused} refused, ${seconds.toFixed(1)} s`);
      const unknown = failures.filter((failure) => !isKnown(failure));
      assert.deepEqual(
        grouped(unknown).map(([one, count]) => `${count} × ${one.kind}: ${one.message}\n${commandOf(one)}`),
        [],
      );
      assert.equal(accepted + refused + failures.length, COUNT, 'every input has an end');
      assert.ok(accepted > 0, 'not every input is damaged beyond use');
    });
});
