/** The editor offers every format of the registry, a model once for each kind of operators. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatChoices, planLines, tableBitsFirst } from '../../src/extension/runs/export-choices.ts';
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

test('a dialog says what becomes of a run and what it costs, known or not', () => {
  const row = { part: 'R3', run: 'on', verdict: 'left out', there: 'it cancels' } as const;
  const plan = { rows: [row], measured: null, recorded: { w: 7.25 } };
  assert.match(
    planLines(plan, false),
    /^R3: left out\. on → it cancels\n\nThe run measured w: 7\.2500\. .*Measure/,
  );
  assert.match(planLines(plan, true), /no text to measure on$/);
  const measured = { text: 'w', tokens: 62, network: 8, unrounded: 7, there: 9 };
  assert.match(planLines({ ...plan, measured }, true), /as computed there 9\.0000$/);
  const refused = { ...plan, rows: [{ ...row, verdict: 'refused' }] } as const;
  assert.doesNotMatch(planLines(refused, false), /computed there/);
});
