/** A run goes on from a checkpoint that is whole and of the same inputs, and from no other. */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { experimentSchema, resolvePortable } from '../../src/config/index.ts';
import type { ExpectedCheckpoint } from '../../src/engine/plan/checkpoint-fault.ts';
import {
  type CheckpointOrigin,
  checkSameInputs,
  otherKernels,
} from '../../src/engine/plan/checkpoint-origin.ts';
import {
  checkpointStep,
  type LearningCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../../src/engine/plan/learning-checkpoint.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';

/** A signed permutation is as orthogonal as a matrix can be. */
const turn = (n: number): Float32Array =>
  Float32Array.from({ length: n * n }, (_, i) => (i % n === (Math.floor(i / n) + 1) % n ? -1 : 0));

const STATE = { residual: [turn(4)], value: [turn(2), turn(2)] };
const MOMENTS = {
  residual: { m: new Float32Array(16), v: new Float32Array(1) },
  value: { m: new Float32Array(8), v: new Float32Array(2) },
};
const WHOLE: LearningCheckpoint = {
  step: 3,
  state: STATE,
  memory: { moments: MOMENTS, searchedAt: STATE },
};
const EXPECTED: ExpectedCheckpoint = {
  initial: STATE,
  steps: 6,
  moments: ['residual', 'value'],
  searched: true,
};
const ORIGIN: CheckpointOrigin = {
  key: 'key',
  inputs: { model: 'a', text: 'b', start: 'c' },
  computed: 'native kernels on cpu',
};
const LOSS = { first: 3, last: 2 };

type Tensors = Record<string, HostTensor>;
type Change = (tensors: Tensors, metadata: Record<string, string>) => void;

async function changed(t: TestContext, change: Change): Promise<string> {
  const folder = temporaryFolder(t);
  await writeCheckpoint(folder, WHOLE, ORIGIN, LOSS);
  const path = join(folder, 'state.safetensors');
  const header = readSafetensorsHeader(path);
  const tensors = Object.fromEntries([...header.tensors].map(([name, file]) => [name, readTensor(file)]));
  const metadata = { ...header.metadata };
  change(tensors, metadata);
  await writeSafetensors(path, tensors, metadata);
  return folder;
}

test('a whole checkpoint is read as it was written', async (t) => {
  const folder = await changed(t, () => {});
  assert.deepEqual(readCheckpoint(folder, EXPECTED), { ...WHOLE, origin: ORIGIN, loss: LOSS });
  assert.equal(readCheckpoint(join(folder, 'none'), EXPECTED), null);
});

test('one of an earlier version tells no origin and no losses', async (t) => {
  const folder = await changed(t, (_, metadata) => {
    delete metadata.origin;
    metadata.loss = '{"first":null,"last":2}';
  });
  const kept = readCheckpoint(folder, EXPECTED);
  assert.deepEqual([kept?.step, kept?.origin, kept?.loss], [3, null, null]);
});

const set =
  (name: string, tensor: HostTensor): Change =>
  (tensors) => {
    tensors[name] = tensor;
  };
const says =
  (step: string): Change =>
  (_, metadata) => {
    metadata.step = step;
  };
const drop =
  (name: string): Change =>
  (tensors) => {
    delete tensors[name];
  };
const with1 = (dims: number[], values: Float32Array, at: number, value: number) => {
  const data = Float32Array.from(values);
  data[at] = value;
  return float32(dims, data);
};

const DAMAGES: Readonly<Record<string, readonly [Change, RegExp]>> = {
  'no R1': [drop('R1'), /holds no R1\./],
  'a layer without R2': [drop('R2.1'), /holds no R2\.1\./],
  'another size': [
    set('R2.0', float32([3, 3], new Float32Array(9))),
    /R2\.0 as float32 \[3, 3\]; float32 \[2, 2\]/,
  ],
  'another dtype': [
    set('R1', { kind: 'host', dtype: 'int8', dims: [4, 4], data: new Int8Array(16) }),
    /R1 as int8 \[4, 4\]; float32 \[4, 4\]/,
  ],
  'a NaN': [set('R1', with1([4, 4], turn(4), 6, Number.NaN)), /R1 that is not a rotation: .*\[1, 2\] is NaN/],
  'no rotation': [
    set('R2.1', with1([2, 2], turn(2), 0, 0.5)),
    /R2\.1 that is not a rotation: max \|RᵀR − I\|/,
  ],
  'a step beyond the last': [says('99'), /holds step 99; the experiment has 6/],
  'no step': [(_, metadata) => void delete metadata.step, /a whole number is expected/],
  'a step that is none': [says('-1'), /a whole number is expected/],
  'no moments': [drop('moment1.R1'), /holds no moment1\.R1/],
  'short moments': [
    set('moment2.R2', float32([1], new Float32Array(1))),
    /moment2\.R2 .*float32 \[2\] is expected/,
  ],
  'infinite moments': [
    set('moment1.R1', with1([16], new Float32Array(16), 3, Number.POSITIVE_INFINITY)),
    /Infinity in moment1\.R1/,
  ],
  'a negative second moment': [
    set('moment2.R1', with1([1], new Float32Array(1), 0, -1)),
    /-1 in moment2\.R1; numbers from 0/,
  ],
  'no maps of the last search': [drop('searched.R2.0'), /holds no searched\.R2\.0/],
};

for (const [name, [change, message]] of Object.entries(DAMAGES))
  test(`damaged: ${name}`, async (t) => {
    const folder = await changed(t, change);
    assert.throws(
      () => readCheckpoint(folder, EXPECTED),
      (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.equal(error.code, 'runs/damaged');
        assert.match(error.message, /state\.safetensors/);
        assert.match(error.message, message);
        assert.match(error.hint, /leave --resume out/);
        return true;
      },
    );
  });

test('a checkpoint that is cut off says so, before any model is opened', async (t) => {
  const folder = await changed(t, () => {});
  const path = join(folder, 'state.safetensors');
  truncateSync(path, readFileSync(path).length - 4);
  assert.throws(() => checkpointStep(folder), { code: 'runs/damaged', hint: /leave --resume out/ });
  writeFileSync(path, '');
  assert.throws(() => checkpointStep(folder), { code: 'runs/damaged' });
});

const experiment = resolvePortable(
  experimentSchema.parse({ model: 'm', calibration: { text: ['a.txt', 'b.txt'] } }),
  '/lab/x.spinquant.json',
);

test('other inputs are refused by their names; the same ones, and an earlier start, are not', () => {
  checkSameInputs(experiment, 3, ORIGIN, { ...ORIGIN, key: 'another', computed: 'composed kernels on cpu' });
  const words = {
    model: /the model \/lab\/m/,
    text: /calibration text \/lab\/a\.txt, \/lab\/b\.txt/,
    start: /starts from/,
  };
  for (const [input, message] of Object.entries(words)) {
    const now = { ...ORIGIN, inputs: { ...ORIGIN.inputs, [input]: 'other' } };
    assert.throws(() => checkSameInputs(experiment, 3, ORIGIN, now), {
      code: 'runs/inputs-changed',
      message,
      hint: /Restore/,
    });
  }
});

test('other kernels go on, with a warning', () => {
  assert.equal(otherKernels(ORIGIN, ORIGIN), null);
  const warning = otherKernels(ORIGIN, { ...ORIGIN, computed: 'composed kernels on cpu' });
  assert.ok(warning?.type === 'warning');
  assert.match(warning.message, /native kernels on cpu; .* composed kernels on cpu/);
});
