import assert from 'node:assert/strict';
import test from 'node:test';
import { parse } from 'jsonc-parser';
import { experimentSchema } from '../../src/config/index.ts';
import { withExceptions } from '../../src/extension/experiments/exceptions-text.ts';
import { exceptionOf } from '../../src/extension/panels/layers/attribution.ts';
import { TARGETS } from '../../src/protocol/panels/attribution.ts';

const TEXT = `{
  // comments stay
  "model": "m",
  "calibration": { "text": "t" }
}
`;
const DOWN = exceptionOf({ type: 'except', target: 'down-activations', layers: 'worst:4', bits: 8 });

test('exceptions come behind those of the file, whose comments stay', () => {
  const once = withExceptions(TEXT, [DOWN])!;
  assert.match(once, /\/\/ comments stay/);
  assert.deepEqual(parse(once).quantization, {
    exceptions: [{ sites: 'down', layers: 'worst:4', activations: { bits: 8 } }],
  });
  const keys = exceptionOf({ type: 'except', target: 'keys', layers: 'all', bits: 16 });
  const twice = withExceptions(once, [keys])!;
  assert.deepEqual(parse(twice).quantization.exceptions[1], { layers: 'all', keys: { bits: 16 } });
  assert.equal(withExceptions(twice, [DOWN, keys]), null, 'nothing is written twice');
});

test('a budget, which would choose other ones, goes', () => {
  const text = TEXT.replace('"m",', '"m", "quantization": { "budget": 4.25, "weights": { "bits": 4 } },');
  const { quantization } = parse(withExceptions(text, [DOWN])!);
  assert.deepEqual(Object.keys(quantization), ['weights', 'exceptions']);
});

test('what a point of the curve has is written without what is not there', () => {
  const point = { layers: [0, 3], sites: ['qkv'], keys: { bits: 8 }, activations: undefined } as const;
  const written = parse(withExceptions(TEXT, [{ ...point, layers: [0, 3], sites: ['qkv'] }])!);
  assert.deepEqual(written.quantization.exceptions, [{ layers: [0, 3], keys: { bits: 8 } }]);
});

test('every choice of the panel is an exception that experiments know', () => {
  for (const target of TARGETS) {
    const exception = exceptionOf({ type: 'except', target, layers: 'worst:2', bits: 8 });
    const experiment = parse(withExceptions(TEXT, [exception])!);
    const { exceptions } = experimentSchema.parse(experiment).quantization;
    assert.equal(exceptions?.length, 1, target);
    const named = Object.entries(exceptions[0]!).filter(([, value]) => value !== undefined);
    assert.equal(named.length, 3, `${target} sets one part of some sites and layers`);
  }
});
