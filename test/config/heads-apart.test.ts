/** Rules of rotations of each key/value head, and of scales that stand before rotations. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Rotation, validateTogether } from '../../src/config/index.ts';
import { experimentWith } from './experiment-with.ts';

const BEFORE_ROTATION = 'error config/scales-before-rotation';

const CASES: readonly (readonly [name: string, change: Partial<Rotation>, expected: readonly string[]])[] = [
  ['by themselves', {}, []],
  ['where heads are mixed', { acrossHeads: true }, ['error config/mixed-heads']],
  ['where there are none', { r2: 'none' }, ['warning config/unused-option']],
  [
    'where there are none, and heads are mixed',
    { r2: 'none', acrossHeads: true },
    ['warning config/unused-option'],
  ],
];

for (const [name, change, expected] of CASES)
  test(`rotations of each head ${name}`, () => {
    const experiment = experimentWith((draft) => {
      Object.assign(draft.rotation, { r2Per: 'kv-head', ...change });
    });
    const found = validateTogether(experiment).map(({ severity, code }) => `${severity} ${code}`);
    assert.deepEqual(found, expected);
  });

const SCALED: readonly (readonly [...(typeof CASES)[number], options?: object])[] = [
  ['beside rotations', {}, []],
  [
    'without R2 or R4',
    { r2: 'none', r4: false },
    [BEFORE_ROTATION, BEFORE_ROTATION, 'warning config/r4-off'],
  ],
  ['of keys without R3', { r3: false }, [BEFORE_ROTATION, 'warning config/r3-off'], { keys: true }],
  ['where heads are mixed', { acrossHeads: true }, ['error config/mixed-heads']],
];

for (const [name, change, expected, options] of SCALED)
  test(`balanced scales ${name}`, () => {
    const experiment = experimentWith((draft) => {
      Object.assign(draft.rotation, change);
      draft.scaling.method = 'balance';
      Object.assign(draft.scaling.balance, options);
    });
    const found = validateTogether(experiment).map(({ severity, code }) => `${severity} ${code}`);
    assert.deepEqual(found.sort(), expected);
  });
