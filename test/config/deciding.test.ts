/** Which settings decide what is learned. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decidingDifferences, parseExperiment } from '../../src/config/index.ts';

test('a run that began with a former default is that of an experiment that leaves it out, and of no other', () => {
  const of = (precision?: string) => {
    const learning = precision === undefined ? {} : { precision };
    const text = JSON.stringify({ model: 'm', rotation: { learning } });
    const { experiment } = parseExperiment(text, 'x.spinquant.json');
    assert.ok(experiment, text);
    return { ...experiment, source: { file: '/f', directory: '/', warnings: [] } };
  };
  const differences = (then: string, now?: string) =>
    decidingDifferences(of(then), of(now), 'same').map(({ path }) => path);
  for (const former of ['bfloat16x2', 'bfloat16']) assert.deepEqual(differences(former), []);
  assert.deepEqual(differences('float32'), ['rotation.learning.precision']);
  assert.deepEqual(differences('bfloat16', 'bfloat16x2'), ['rotation.learning.precision']);
});
