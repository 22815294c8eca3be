/** The editor offers every format of the registry, a model once for each kind of operators. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatChoices, tableBitsFirst } from '../../src/extension/runs/export-choices.ts';
import {
  EXPORT_FORMAT_NAMES,
  EXPORT_TARGET_NAMES,
  MODEL_FORMAT_NAMES,
} from '../../src/protocol/export-formats.ts';

test('every format is offered, with words of its own', () => {
  const choices = formatChoices();
  const named = choices.map(({ exported }) =>
    exported.kind === 'model' ? `${exported.format} ${exported.target}` : exported.format,
  );
  const models = MODEL_FORMAT_NAMES.flatMap((name) =>
    EXPORT_TARGET_NAMES.map((target) => `${name} ${target}`),
  );
  assert.deepEqual(named, [...EXPORT_FORMAT_NAMES, ...models]);
  assert.equal(new Set(choices.map(({ label }) => label)).size, choices.length);
  assert.ok(choices.some(({ label }) => label === 'ONNX model with our operators'));
});

test('the usual bits of tables come first', () => {
  assert.deepEqual(tableBitsFirst(16), [16, 32, 8, 4]);
});
