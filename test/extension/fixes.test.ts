import assert from 'node:assert/strict';
import test from 'node:test';
import { parse } from 'jsonc-parser';
import { parseExperiment } from '../../src/config/index.ts';
import { type Fix, fixesOf, withValue } from '../../src/extension/experiments/fixes.ts';

/** The fixes of the one fault that a text has. */
function fixes(text: string): { code: string; fixes: Fix[] } {
  const { faults } = parseExperiment(text, '/x/a.spinquant.json');
  assert.equal(faults.length, 1, faults.map(({ message }) => message).join('\n'));
  return { code: faults[0]!.code, fixes: fixesOf(faults[0]!, text) };
}

const withRest = (rest: string) => `{
  // comments stay
  "model": "m",
  "calibration": { "text": "t" },
  ${rest}
}`;

/** Fault code, rest of the file, and what the first fix makes of that rest. */
const CASES: [string, string, object][] = [
  ['config/unknown-key', '"rotaton": { "r1": "hadamard" }', { rotation: { r1: 'hadamard' } }],
  ['config/unknown-key', '"seed": 3', { calibration: { text: 't', seed: 3 } }],
  ['config/invalid-value', '"rotation": { "r1": "hadamrd" }', { rotation: { r1: 'hadamard' } }],
  [
    'config/invalid-value',
    '"quantization": { "weights": { "bits": 9 } }',
    { quantization: { weights: { bits: 8 } } },
  ],
  ['config/r4-off', '"rotation": { "r4": false }', { rotation: { r4: true } }],
  ['config/r3-off', '"rotation": { "r3": false }', { rotation: { r3: true } }],
  [
    'config/micro-batch',
    '"rotation": { "learning": { "microBatch": 99 } }',
    { rotation: { learning: { microBatch: null } } },
  ],
  [
    'config/weight-bits',
    '"rotation": { "learning": { "weightBits": 8 } }',
    { rotation: { learning: { weightBits: null } } },
  ],
  [
    'config/same-name',
    '"evaluation": { "perplexity": [{ "name": "a", "text": "t" }, { "name": "a", "text": "t" }] }',
    {
      evaluation: {
        perplexity: [
          { name: 'a', text: 't' },
          { name: 'a-2', text: 't' },
        ],
      },
    },
  ],
];

for (const [code, rest, expected] of CASES)
  test(`${code}: ${rest}`, () => {
    const found = fixes(withRest(rest));
    assert.equal(found.code, code);
    const fix = found.fixes[0]!;
    assert.ok(fix.kind !== 'choose');
    assert.deepEqual(parse(fix.text), { model: 'm', calibration: { text: 't' }, ...expected });
    assert.match(fix.text, /\/\/ comments stay/);
    const left = parseExperiment(fix.text, '/x/a.spinquant.json').faults;
    assert.deepEqual(
      left.map(({ message }) => message),
      [],
    );
  });

test('a path that is missing is chosen by the person', () => {
  assert.deepEqual(fixes('{ "calibration": { "text": "t" } }').fixes, [
    { kind: 'choose', path: ['model'], what: 'model' },
  ]);
  const [choose, ...others] = fixes('{ "model": "m" }').fixes;
  assert.equal(choose?.kind, 'choose');
  assert.deepEqual(others, [], 'r1 and r2 are at their default, there is nothing to overwrite');
});

test('an unknown key can always be taken out', () => {
  const last = fixes(withRest('"nothingLikeThis": 1')).fixes.at(-1)!;
  assert.equal(last.kind, 'remove');
  assert.ok(last.kind === 'remove' && !last.text.includes('nothingLikeThis'));
});

test('a key whose value is missing is not moved elsewhere', () => {
  const text = '{ "model": "m", "calibration": { "text": "t" }, "clip": t }';
  for (const fault of parseExperiment(text, '/x/a.spinquant.json').faults)
    assert.ok(fixesOf(fault, text).every(({ kind }) => kind !== 'move'));
});

test('what stands under a misspelt key waits for the key to be mended', () => {
  const text = '{ "model": "m", "calibration": { "text": "t" }, "rotaton": { "r4": false, "seed": "one" } }';
  const { faults } = parseExperiment(text, '/x/a.spinquant.json');
  for (const fault of faults) {
    const left = fixesOf(fault, text).map((fix) => (fix.kind === 'choose' ? {} : parse(fix.text)));
    for (const settings of left) assert.ok(!('rotation' in settings && 'rotaton' in settings), fault.code);
  }
  assert.equal(faults.length, 3);
});

test('what the worker suggests is set where it says', () => {
  const text = '{ "model": "m", "quantization": { "weights": { "groupSize": 5 } } }';
  const range = { offset: 0, length: 1, line: 1, column: 1 };
  const path = ['quantization', 'weights', 'groupSize'];
  const fault = {
    severity: 'error' as const,
    code: 'quantization/group-size',
    path,
    message: '',
    hint: '',
    range,
  };
  const [fix] = fixesOf({ ...fault, suggestion: { path, value: null } }, text);
  assert.ok(fix?.kind === 'set');
  assert.deepEqual(parse(fix.text).quantization.weights, { groupSize: null });
});

test('a value is written where there was no object yet', () => {
  assert.deepEqual(parse(withValue('{ "model": "m" }', ['rotation', 'r4'], false)), {
    model: 'm',
    rotation: { r4: false },
  });
});

test('what stands in the place of another kind has no fix that cannot be made', () => {
  for (const rest of [
    '"rotation": { "r1": { "toString": null } }',
    '"rotation": { "r1": [null] }',
    '"quantization": 4',
    '"evaluation": { "perplexity": "test.txt" }',
    '"evaluation": { "perplexity": [7] }',
  ])
    for (const fault of parseExperiment(withRest(rest), '/x/a.spinquant.json').faults)
      for (const fix of fixesOf(fault, withRest(rest))) if ('text' in fix) parse(fix.text);
  const listed =
    '{ "model": "m", "calibration": { "text": [-5, { "a": 1 }] }, "seed": { "b": "quantization" } }';
  for (const fault of parseExperiment(listed, '/x/a.spinquant.json').faults) fixesOf(fault, listed);
  const single = '{ "model": "m", "calibration": { "text": -5 } }';
  for (const fault of parseExperiment(single, '/x/a.spinquant.json').faults) fixesOf(fault, single);
});
