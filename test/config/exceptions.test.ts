/** Exceptions of a quantization in the experiment file: faults with their places, and what they come to. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  bitsLabel,
  decidingDifferences,
  experimentSchema,
  parseExperiment,
  siteQuantizer,
} from '../../src/config/index.ts';

/** An experiment with this quantization; faults as `severity code @ text at its place`. */
function faultsOf(quantization: object, more: object = {}): string[] {
  const text = JSON.stringify({
    model: 'm',
    calibration: { text: 'x' },
    rotation: { r1: 'learned' },
    ...more,
    quantization,
  });
  return parseExperiment(text, 'f').faults.map(({ severity, code, range }) => {
    const place = text.slice(range.offset, range.offset + range.length);
    return `${severity} ${code} @ ${place.length > 30 ? `${place.slice(0, 30)}…` : place}`;
  });
}

const A8 = { activations: { bits: 8 } };

test('sound exceptions have no fault', () => {
  for (const layers of ['all', 'worst:4', '0-3', '7', [1, 5]])
    assert.deepEqual(faultsOf({ exceptions: [{ sites: 'down', layers, ...A8 }] }), []);
  assert.deepEqual(faultsOf({ budget: 4.25 }), []);
});

test('faults are found at their places', () => {
  const cases: [quantization: object, expected: string[], more?: object][] = [
    [{ exceptions: [{ layers: [0] }] }, ['error config/empty-exception @ {"layers":[0]}']],
    [{ exceptions: [{ layers: '3-1', ...A8 }] }, ['error config/exception-layers @ "3-1"']],
    [{ exceptions: [{ layers: 'worst', ...A8 }] }, ['error config/exception-layers @ "worst"']],
    [{ exceptions: [{ sites: 'dwn', ...A8 }] }, ['error config/invalid-value @ "dwn"']],
    [{ exceptions: [{ layers: [-1], ...A8 }] }, ['error config/invalid-value @ -1']],
    [{ exceptions: [{ activations: { bits: 9 } }] }, ['error config/invalid-value @ 9']],
    [{ exceptions: [{ activation: { bits: 8 }, layers: [1] }] }, ['error config/unknown-key @ "activation"']],
    [{ exceptions: [{ sites: 'o', keys: { bits: 8 } }] }, ['warning config/unused-sites @ "o"']],
    [{ exceptions: [{ activations: { groupSize: 0 } }] }, ['error config/invalid-value @ 0']],
    [{ exceptions: [{ keys: { bits: 8, groupSize: 64 } }] }, ['error config/unknown-key @ "groupSize"']],
    [
      { exceptions: [{ sites: 'o', activations: { groupSize: 64 } }] },
      ['warning config/unused-group-size @ 64'],
    ],
    [{ activations: { bits: 16 }, exceptions: [A8] }, ['warning config/unused-exception @ {"bits":8}']],
    [
      { weights: { method: 'gptq' }, exceptions: [{ weights: { bits: 16 } }] },
      ['error config/exception-bits @ 16'],
    ],
    [{ budget: 4.25, exceptions: [A8] }, ['error config/budget-exceptions @ 4.25']],
    [{ budget: 4 }, ['error config/small-budget @ 4']],
    [
      { keys: { offset: 'mean' } },
      ['error config/no-calibration-text @ []'],
      { rotation: { r1: 'hadamard', r2: 'hadamard' }, calibration: { text: [] } },
    ],
    [
      { budget: 5 },
      ['error config/no-calibration-text @ []'],
      { rotation: { r1: 'hadamard', r2: 'hadamard' }, calibration: { text: [] } },
    ],
  ];
  for (const [quantization, expected, more] of cases)
    assert.deepEqual(faultsOf(quantization, more), expected, JSON.stringify(quantization));
});

test('cells of a table choose; one whose bits leave nothing to a budget stays empty', () => {
  const matrix = { bits: ['4-4-4', '4-8-8'], methods: ['rtn'] };
  const more = { matrix, evaluation: { perplexity: [{ name: 't', text: 'x' }] } };
  const found = (quantization: object) => faultsOf(quantization, more).map((fault) => fault.split(' @')[0]);
  assert.deepEqual(found({ exceptions: [{ layers: 'worst:1', ...A8 }] }), []);
  assert.deepEqual(found({ exceptions: [{ layers: [1], ...A8 }] }), []);
  assert.deepEqual(found({ budget: 6.5 }), []);
  assert.deepEqual(found({ budget: 4.25 }), ['warning config/empty-cell'], '4-8-8 has 6 bits at least');
  const textless = faultsOf({ budget: 4.25 }, { ...more, calibration: { text: [] } });
  assert.ok(textless.length > 0 && textless.every((fault) => fault.startsWith('error config/empty-cell')));
});

const parse = (quantization: object) => experimentSchema.parse({ model: 'm', quantization });

test('a quantizer of a site is that of its layer', () => {
  const { quantization, rotation } = parse({
    exceptions: [{ layers: '2', sites: 'o', activations: { bits: 8, clipRatio: 0.9 } }],
  });
  const at = (layer: number | null) => siteQuantizer('o-input', quantization, rotation, layer);
  assert.deepEqual([at(2)?.bits, at(2)?.clipRatio, at(2)?.shares], [8, 0.9, 'head']);
  assert.deepEqual([at(1)?.bits, at(null)?.bits], [4, 4]);
  assert.equal(siteQuantizer('down-input', quantization, rotation, 2)?.bits, 4);
});

test('an exception has groups of its own, or whole tokens among groups', () => {
  const { quantization, rotation } = parse({
    activations: { groupSize: 64 },
    exceptions: [
      { layers: '1', activations: { groupSize: 32 } },
      { layers: '2', sites: 'down', activations: { groupSize: null } },
    ],
  });
  const at = (site: 'mlp-input' | 'down-input' | 'o-input', layer: number) => {
    const found = siteQuantizer(site, quantization, rotation, layer);
    return [found?.shares, found?.groupSize];
  };
  assert.deepEqual(at('mlp-input', 0), ['group', 64]);
  assert.deepEqual(at('mlp-input', 1), ['group', 32]);
  assert.deepEqual(at('o-input', 1), ['head', null]);
  assert.deepEqual(at('down-input', 2), ['token', null]);
});

test('the label says that bits are mixed', () => {
  assert.equal(bitsLabel(parse({ exceptions: [{ layers: [0], ...A8 }] }).quantization), 'W4A4KV4 mixed');
  assert.equal(bitsLabel(parse({ budget: 5 }).quantization), 'W4A4KV4 mixed');
  assert.equal(bitsLabel(parse({ activations: { bits: 16 }, exceptions: [A8] }).quantization), 'W4A16KV4');
});

test('what a run chose of an experiment is no difference from it', () => {
  const of = (quantization: object) => ({
    ...parse(quantization),
    source: { file: '/f', directory: '/', warnings: [] },
  });
  const chosen = { layers: [0, 3], ...A8 };
  const differences = (then: object, now: object) =>
    decidingDifferences(of(then), of(now), 'same').map(({ path }) => path);
  assert.deepEqual(differences({ exceptions: [chosen] }, { exceptions: [{ layers: 'worst:2', ...A8 }] }), []);
  assert.equal(
    differences({ exceptions: [chosen] }, { exceptions: [{ layers: 'worst:3', ...A8 }] }).length,
    1,
  );
  assert.deepEqual(differences({ budget: 5, exceptions: [chosen] }, { budget: 5 }), []);
  assert.deepEqual(differences({ budget: 5, exceptions: [chosen] }, { budget: 6 }), ['quantization.budget']);
  assert.equal(differences({ exceptions: [chosen] }, {}).length, 1);
});
