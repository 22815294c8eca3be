import assert from 'node:assert/strict';
import test from 'node:test';
import { experimentJsonSchema, type JsonSchema } from '../../src/config/index.ts';
import { editorSchema } from '../../src/extension/experiments/editor-schema.ts';

/** Paths of all keys of a schema. */
function keysOf(schema: JsonSchema, prefix = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
    prefix + key,
    ...keysOf(child.items ?? child, `${prefix}${key}.`),
  ]);
}

test('the editor offers every key of the experiment, with its meaning', () => {
  const schema = editorSchema() as JsonSchema;
  assert.deepEqual(keysOf(schema), keysOf(experimentJsonSchema()));
  assert.ok(keysOf(schema).length > 40);
  const r1 = (schema.properties?.rotation?.properties?.r1 ?? {}) as { markdownDescription?: string };
  assert.match(
    r1.markdownDescription ?? '',
    /residual stream[\s\S]*\*Reference implementation:\* learned\.[\s\S]*`"learned"`/,
  );
});

test('and judges nothing: each fault is reported once, by the check', () => {
  const text = JSON.stringify(editorSchema());
  for (const word of ['additionalProperties', 'required', 'minimum', 'maximum', 'maxLength', 'maxItems'])
    assert.ok(!text.includes(`"${word}"`), word);
  const { r1, r4 } = (editorSchema() as JsonSchema).properties!.rotation!.properties!;
  assert.deepEqual(r1?.anyOf, [{ type: 'string', enum: ['none', 'random', 'hadamard', 'learned'] }, {}]);
  assert.deepEqual(r4?.anyOf, [{ type: 'boolean' }, {}]);
});
