/** Files of earlier versions are read in the form of this one. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { readEvents } from '../../src/runs/index.ts';
import { temporaryFolder } from '../formats/support.ts';

const TIME = '2026-11-28T15:12:20.000Z';

async function readLines(t: TestContext, ...lines: readonly object[]): Promise<RunEvent[]> {
  const path = join(temporaryFolder(t), 'events.jsonl');
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return readEvents(path);
}

const OLD = {
  type: 'rounding',
  time: TIME,
  layer: 1,
  layers: 2,
  errors: [
    { linear: 'q', gptq: 0.25, nearest: 0.5 },
    { linear: 'down', gptq: 0.125, nearest: 0.75 },
  ],
  seconds: 3,
};

test('rounding of the time when GPTQ was the only method', async (t) => {
  const progress = { type: 'rounding-progress', time: TIME, layersDone: 1, layers: 2, done: 0.5 };
  assert.deepEqual(await readLines(t, progress, OLD), [
    { ...progress, method: 'gptq' },
    {
      ...OLD,
      method: 'gptq',
      errors: [
        { linear: 'q', error: 0.25, nearest: 0.5 },
        { linear: 'down', error: 0.125, nearest: 0.75 },
      ],
    },
  ]);
});

test('events of today, and those without a method, stay as they are', async (t) => {
  const today = { ...OLD, method: 'another', errors: [{ linear: 'q', error: 0.25, nearest: 0.5 }] };
  const phase = { type: 'phase', time: TIME, phase: 'round', state: 'started' };
  assert.deepEqual(await readLines(t, today, phase), [today, phase]);
});

test('an error that was not a number is none', async (t) => {
  // JSON writes null for it.
  const broken = { ...OLD, errors: [{ linear: 'q', gptq: null, nearest: 0.5 }] };
  const [event] = await readLines(t, broken);
  assert.ok(event?.type === 'rounding');
  assert.ok(Number.isNaN(event.errors[0]!.error));
});

test('the record beside rounded weights', async (t) => {
  const folder = temporaryFolder(t);
  const { errors, seconds } = OLD;
  const metadata = { key: 'key', record: JSON.stringify({ errors, seconds }) };
  const one = float32([1, 1], Float32Array.of(1));
  const codes = { kind: 'host', dtype: 'int8', dims: [1, 1], data: Int8Array.of(1) } as const;
  const tensors = LINEARS.flatMap((linear) => [
    [`${linear}.codes`, codes] as const,
    [`${linear}.scale`, one] as const,
    [`${linear}.zero`, one] as const,
  ]);
  await writeSafetensors(join(folder, 'layer-0000.safetensors'), Object.fromEntries(tensors), metadata);
  assert.deepEqual(new RoundedLayers(folder, 'key').record(0), {
    method: 'gptq',
    errors: [
      { linear: 'q', error: 0.25, nearest: 0.5 },
      { linear: 'down', error: 0.125, nearest: 0.75 },
    ],
    seconds,
  });
});
