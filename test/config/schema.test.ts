/** What the schema says of every key, and what follows from settings. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  bitsLabel,
  experimentDifferences,
  experimentJsonSchema,
  experimentSchema,
  type JsonSchema,
  learningWeightBits,
  learningWeightClip,
} from '../../src/config/index.ts';
import { editDistance, nearestName } from '../../src/config/nearest.ts';
import { experimentWith } from './experiment-with.ts';

test('the setting has the name the field uses', () => {
  const { quantization } = experimentWith(() => {});
  assert.equal(bitsLabel(quantization), 'W4A4KV4');
  assert.equal(bitsLabel({ ...quantization, values: { ...quantization.values, bits: 8 } }), 'W4A4K4V8');
});

test('learning follows the final rounding unless told otherwise', () => {
  assert.equal(learningWeightBits(experimentWith(() => {})), 4);
  assert.equal(learningWeightBits(experimentWith((e) => (e.quantization.weights.method = 'gptq'))), 16);
  assert.equal(learningWeightBits(experimentWith((e) => (e.rotation.learning.weightBits = 8))), 8);
  assert.equal(learningWeightClip(experimentWith(() => {})), true);
  assert.equal(learningWeightClip(experimentWith((e) => (e.rotation.learning.weightClip = false))), false);
});

/** Every key of an object schema with its dotted path. Keys of list items are written `list[].key`. */
function keysOf(schema: JsonSchema, prefix = ''): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
    [prefix + key, child],
    ...keysOf(child, `${prefix}${key}.`),
    ...keysOf(child.items ?? {}, `${prefix}${key}[].`),
  ]);
}

test('optimizer, steps and learning rate follow the objective', () => {
  const learning = (objective: string) =>
    experimentSchema.parse({ model: 'm', rotation: { learning: { objective } } }).rotation.learning;
  const { optimizer, steps, learningRate } = learning('cross-entropy');
  assert.deepEqual(
    { optimizer, steps, learningRate },
    { optimizer: 'cayley-sgd', steps: 100, learningRate: 1.5 },
  );
  const top = learning('kl-top');
  assert.deepEqual([top.optimizer, top.steps, top.learningRate], ['lie-adam', 100, 0.02]);
  const peak = learning('peak');
  assert.equal(peak.optimizer, 'lie-adam');
  assert.deepEqual([peak.steps, peak.learningRate], [200, 0.02]);
  // What a run keeps parses to itself.
  assert.deepEqual(
    experimentSchema.parse({ model: 'm', rotation: { learning: peak } }).rotation.learning,
    peak,
  );
});

test('the JSON schema describes every key', () => {
  const keys = keysOf(experimentJsonSchema());
  assert.ok(keys.length > 40);
  for (const [path, schema] of keys) assert.ok((schema.description ?? '').length > 20, path);
});

test('the defaults in the JSON schema are those of the parser', () => {
  const parsed: unknown = experimentSchema.parse({ model: 'm', matrix: {}, cluster: {} });
  const valueAt = (path: string) =>
    path.split('.').reduce((value, key) => (value as Record<string, unknown>)[key], parsed);
  // null in the file stands for a value that follows the objective; the parser resolves it.
  const following = new Set(['optimizer', 'steps', 'learningRate'].map((key) => `rotation.learning.${key}`));
  for (const [path, schema] of keysOf(experimentJsonSchema())) {
    if (schema.properties || path.includes('[]') || path === 'model') continue;
    if (!following.has(path)) assert.deepEqual(schema.default, valueAt(path), path);
    else assert.ok(schema.default === null && valueAt(path) !== null, path);
  }
});

test('differences name the keys', () => {
  const a = experimentWith(() => {});
  const b = experimentWith((e) => {
    e.rotation.seed = 1;
    e.evaluation.perplexity = [];
  });
  assert.deepEqual(experimentDifferences(a, a), []);
  assert.deepEqual(
    experimentDifferences(a, b).map((difference) => difference.path),
    ['rotation.seed', 'evaluation.perplexity.0'],
  );
});

test('edit distance and the nearest name', () => {
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(nearestName('Seed', ['seed', 'steps']), 'seed');
  assert.equal(nearestName('qantization', ['quantization', 'rotation']), 'quantization');
  assert.equal(nearestName('xyz', ['seed', 'steps']), null);
});
