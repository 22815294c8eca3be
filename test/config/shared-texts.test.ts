import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { checkExperiment, experimentSchema, sharedTexts } from '../../src/config/index.ts';

function folder(t: test.TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-shared-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** `more` is as long as `train`, and another text. */
const TEXTS = { train: 'a b c\n', same: 'a b c\n', more: 'a b d\n', test: 'another text\n' };

test('a text that is learned on and measured on is found by its path and by its content', (t) => {
  const dir = folder(t);
  const path = (name: string) => join(dir, `${name}.txt`);
  for (const [name, text] of Object.entries(TEXTS)) writeFileSync(path(name), text);
  const shared = (calibration: string[], evaluation: string[]) =>
    sharedTexts(
      experimentSchema.parse({
        model: 'm',
        calibration: { text: calibration.map(path) },
        evaluation: { perplexity: evaluation.map((name) => ({ name, text: path(name) })) },
      }),
    );
  assert.deepEqual(shared(['train'], ['test', 'more', 'missing']), []);
  assert.deepEqual(shared(['more', 'train'], ['test', 'train']), [
    { calibration: 1, evaluation: 1, by: 'path' },
  ]);
  assert.deepEqual(shared(['train'], ['same']), [{ calibration: 0, evaluation: 0, by: 'content' }]);
  assert.deepEqual(shared(['gone'], ['gone']), [{ calibration: 0, evaluation: 0, by: 'path' }]);
  writeFileSync(path('same'), 'x y z\n');
  assert.deepEqual(shared(['train'], ['same']), [], 'it is looked at again when it has changed');
});

test('the warning stands at the text that is measured on, where something is learned', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'test.txt'), 'a b c\n');
  const check = async (rest: object, purpose?: 'inspect') => {
    const text = JSON.stringify({
      model: 'm',
      calibration: { text: 'test.txt' },
      evaluation: { perplexity: [{ name: 'w', text: './test.txt' }] },
      ...rest,
    });
    const { faults } = await checkExperiment(text, join(dir, 'x.spinquant.json'), purpose);
    return faults.filter(({ code }) => code === 'config/shared-text');
  };
  const [fault, ...others] = await check({});
  assert.equal(others.length, 0);
  assert.equal(fault?.severity, 'warning');
  assert.deepEqual(fault?.path, ['evaluation', 'perplexity', 0, 'text']);
  assert.match(
    fault?.message ?? '',
    /^evaluation\.perplexity\[0\]\.text: \.\/test\.txt is also learned on: its perplexity flatters/,
  );
  const none = { r1: 'none', r2: 'none', r3: false, r4: false };
  assert.deepEqual(await check({ rotation: none }), [], 'rounding to nearest reads no text');
  assert.deepEqual(await check({}, 'inspect'), []);
  assert.equal((await check({ rotation: none, quantization: { weights: { method: 'gptq' } } })).length, 1);
});
