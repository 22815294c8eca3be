/** One fault does not hide another. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Fault, parseExperiment } from '../../src/config/index.ts';

const HADAMARD = '"rotation": { "r1": "hadamard", "r2": "hadamard" }';

const faultsOf = (text: string): readonly Fault[] => parseExperiment(text, 'x.spinquant.json').faults;

function textAt(text: string, fault: Fault): string {
  return text.slice(fault.range.offset, fault.range.offset + fault.range.length);
}

/** `code path` of every fault, in the order of the text. */
const codesOf = (text: string) => faultsOf(text).map(({ code, path }) => `${code} ${path.join('.')}`);

test('a value at fault hides no rule between the other keys', () => {
  const text = `{
    "model": "m",
    "calibration": { "samples": 2, "sequenceLength": "long" },
    "quantization": { "activations": { "bits": 3 }, "keys": { "bits": "four" } },
    "rotation": { "r3": false, "r4": false, "learning": { "microBatch": 9, "schedule": "sine" } },
    "evaluation": { "perplexity": [ { "name": "a", "text": "t" }, { "text": 3 }, { "name": "a", "text": "t" } ] }
  }`;
  assert.deepEqual(codesOf(text), [
    'config/no-calibration-text calibration.text',
    'config/few-samples calibration.samples',
    'config/invalid-value calibration.sequenceLength',
    // Whether R3 off matters depends on the bits of keys, which are at fault.
    'config/invalid-value quantization.keys.bits',
    'config/r4-off rotation.r4',
    'config/micro-batch rotation.learning.microBatch',
    'config/invalid-value rotation.learning.schedule',
    'config/missing-key evaluation.perplexity.1.name',
    'config/invalid-value evaluation.perplexity.1.text',
    'config/same-name evaluation.perplexity.2.name',
  ]);
});

test('what a misspelt or misplaced key holds is checked with it, at its place', () => {
  const text = `{ "modell": "m", "calibration": { "text": "c" }, "rotaton": { "r1": 1, "r4": false }, "microBatch": 0 }`;
  assert.deepEqual(codesOf(text), [
    'config/unknown-key modell',
    'config/unknown-key rotaton',
    'config/invalid-value rotaton.r1',
    'config/r4-off rotaton.r4',
    'config/unknown-key microBatch',
    'config/invalid-value microBatch',
  ]);
  const fault = faultsOf(text).find(({ code }) => code === 'config/r4-off')!;
  assert.equal(textAt(text, fault), 'false');
  assert.equal(parseExperiment(text, 'x').experiment, null);
});

test('both values of a key that is written twice are checked', () => {
  const text = '{ "model": "m", "calibration": { "text": "c" }, "threads": 0, "threads": "two" }';
  assert.deepEqual(
    faultsOf(text).map((fault) => [fault.code, textAt(text, fault)]),
    [
      ['config/invalid-value', '0'],
      ['config/duplicate-key', '"threads"'],
      ['config/invalid-value', '"two"'],
    ],
  );
});

test('one wrong text of a list is marked alone', () => {
  const text = `{ "model": "m", "calibration": { "text": ["a", 3, "c"] }, ${HADAMARD} }`;
  assert.deepEqual(
    faultsOf(text).map((fault) => textAt(text, fault)),
    ['3'],
  );
  const [reading] = parseExperiment(text, 'x').readings;
  const textOf = (index: number) => reading!.ask(({ calibration }) => calibration.text[index]);
  assert.deepEqual([textOf(0), textOf(1), textOf(2)], ['a', undefined, 'c']);
});

test('a forgotten comma hides nothing; an unfinished text is not called incomplete', () => {
  assert.deepEqual(codesOf('{ "model": "m" "rotation": { "r4": false } }'), [
    'config/no-calibration-text calibration.text',
    'config/syntax ',
    'config/r4-off rotation.r4',
  ]);
  assert.deepEqual(codesOf('{ "model": "m", "rotation": { "r4": false '), ['config/syntax ']);
  // The text of a name that is not closed is not known.
  const open = '{ "calibration": { "text": "c" }, "model": "m }';
  assert.equal(
    parseExperiment(open, 'x').readings[0]!.ask(({ model }) => model),
    undefined,
  );
});
