/** Where a rule between keys finds a fault, and in which words. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseExperiment } from '../../src/config/index.ts';

test('what nothing reads is said at its line, with its keys and what is chosen instead', () => {
  const text = `{ "model": "m",
"scaling": { "smoothquant": { "alpha": 0.7 } },
"quantization": { "weights": {
"gptq": { "samples": 3, "damping": 0.5 } } },
"rotation": { "r1": "hadamard", "r2": "none",
"learning": { "objective": "peak" } } }`;
  const { faults } = parseExperiment(text, 'x');
  assert.deepEqual(
    faults.map(({ range, message }) => `${range.line} ${message}`),
    [
      '2 scaling.smoothquant: alpha is not read: scaling.method is "none".',
      '4 quantization.weights.gptq: samples and damping are not read: quantization.weights.method is "rtn".',
      '6 rotation.learning: objective is not read: rotation.r1 is "hadamard" and r2 is "none", so nothing is learned.',
    ],
  );
  assert.equal(faults[1]!.hint, 'Set it to "gptq", or leave "gptq" out.');
});

test('a rotation where scales stand is refused at its line', () => {
  const text = `{ "model": "m", "calibration": { "text": "c" },
"scaling": { "method": "awq" },
"rotation": { "r1": "none",
"r2": "hadamard",
"r4": true } }`;
  const { faults } = parseExperiment(text, 'x');
  assert.deepEqual(
    faults.map(({ range, message, hint }) => `${range.line} ${message} ${hint}`),
    [
      '4 rotation.r2: is "hadamard", but AWQ scales single channels at the same place, which R2 would mix. Set rotation.r2 to "none", or scaling.method to another method.',
      '5 rotation.r4: is true, but AWQ scales single channels at the same place, which R4 would mix. Set rotation.r4 to false, or scaling.method to another method.',
    ],
  );
});

test('rules between keys get text ranges', () => {
  const text = '{ "model": "m", "calibration": { "text": "c" }, "rotation": { "r4": false } }';
  const [fault] = parseExperiment(text, 'x').faults;
  assert.equal(fault?.code, 'config/r4-off');
  assert.equal(fault.range.offset, text.indexOf('false'));
  assert.equal(fault.range.length, 5);
});

test('QuIP# at A4 is refused at the line of the bits', () => {
  const text = `{ "model": "m", "calibration": { "text": "c" },
  "quantization": {
    "weights": { "method": "quip" },
    "keys": { "bits": 16 }, "values": { "bits": 8 },
    "activations": { "bits": 4 } },
  "rotation": { "r1": "hadamard", "r2": "hadamard" } }`;
  const faults = parseExperiment(text, 'x').faults.filter(({ severity }) => severity === 'error');
  assert.deepEqual(
    faults.map(({ code, message, range }) => [code, message, text.slice(0, range.offset).split('\n').length]),
    [
      [
        'config/weights-only',
        'quantization.activations.bits: QuIP# is for weights only, but activations have 4 bits, values have 8 bits.',
        5,
      ],
    ],
  );
});
