/** The editor offers every format of the registry, a model once for each kind of operators. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatChoices, tableBitsFirst } from '../../src/extension/runs/export-choices.ts';
import {
  CHECKPOINT_FORMAT_NAMES,
  EXPORT_FORMAT_NAMES,
  EXPORT_TARGET_NAMES,
  GGUF_WEIGHT_TYPES,
  MODEL_FORMAT_NAMES,
} from '../../src/protocol/export-formats.ts';

test('every format is offered, with words of its own', () => {
  const choices = formatChoices();
  const named = choices.map(({ exported }) => {
    if (exported.kind === 'model') return `${exported.format} ${exported.target}`;
    if (exported.kind === 'rotations') return exported.format;
    const { format, type } = exported.settings;
    return format === 'gguf' ? `${format} ${type}` : format;
  });
  const models = MODEL_FORMAT_NAMES.flatMap((name) =>
    EXPORT_TARGET_NAMES.map((target) => `${name} ${target}`),
  );
  const checkpoints = CHECKPOINT_FORMAT_NAMES.flatMap((name) =>
    name === 'gguf' ? GGUF_WEIGHT_TYPES.map((type) => `${name} ${type}`) : [name],
  );
  assert.deepEqual(named, [...EXPORT_FORMAT_NAMES, ...models, ...checkpoints]);
  assert.equal(new Set(choices.map(({ label }) => label)).size, choices.length);
  assert.ok(choices.some(({ label }) => label === 'ONNX model with our operators'));
});

test('the usual bits of tables come first', () => {
  assert.deepEqual(tableBitsFirst(16), [16, 32, 8, 4]);
});
