import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Fault, parseExperiment } from '../../src/config/index.ts';

function faultsOf(text: string): readonly Fault[] {
  return parseExperiment(text, 'x.spinquant.json').faults;
}

function onlyFault(text: string): Fault {
  const faults = faultsOf(text);
  assert.equal(faults.length, 1, JSON.stringify(faults, null, 1));
  return faults[0]!;
}

function textAt(text: string, fault: Fault): string {
  return text.slice(fault.range.offset, fault.range.offset + fault.range.length);
}

const HADAMARD = '"rotation": { "r1": "hadamard", "r2": "hadamard" }';

test('a model alone gets every default', () => {
  const { experiment } = parseExperiment('{ "model": "m" }', 'x.spinquant.json');
  assert.deepEqual(experiment, {
    model: 'm',
    calibration: { text: [], samples: 800, sequenceLength: 2048, seed: 0, bos: false },
    quantization: {
      weights: {
        bits: 4,
        method: 'rtn',
        'awq-clip': { samples: 32, tokens: 512 },
        gptq: {
          samples: 128,
          damping: 0.01,
          actOrder: false,
          groupScales: 'static',
          inputs: 'full-precision',
          target: 'weights',
          gptaqAlpha: 0.25,
          foem: 0,
          magr: 0,
          magrSteps: 200,
          learnedClip: false,
          learnedClipSteps: 100,
          sweeps: 0,
        },
        omniquant: {
          samples: 128,
          epochs: 20,
          clipLearningRate: 0.01,
          scaleLearningRate: 0.005,
          alpha: 0.5,
          seed: 0,
        },
        quip: { samples: 128, damping: 0.01, sweeps: 10, scale: null, seed: 0 },
        groupSize: null,
        symmetric: true,
        clip: true,
      },
      activations: { bits: 4, symmetric: false, fullRange: false, groupSize: null, clipRatio: 1 },
      keys: { firstTokens: 0, bits: 4, symmetric: false, clipRatio: 1, offset: 'auto' },
      values: { firstTokens: 0, bits: 4, symmetric: false, clipRatio: 1 },
    },
    scaling: {
      method: 'none',
      balance: { samples: 64, values: false, keys: false, norms: false },
      awq: { samples: 32, groupedValues: true },
      flatquant: {
        samples: 16,
        epochs: 15,
        learningRate: 0.005,
        clipLearningRate: 0.05,
        alpha: 0.3,
        seed: 0,
      },
      'learned-scales': {
        norms: false,
        values: true,
        start: 'balance',
        steps: 60,
        learningRate: 0.02,
        batchSize: 8,
        samples: 512,
        seed: 0,
      },
      smoothquant: { alpha: 0.5, samples: 512 },
    },
    training: {
      method: 'none',
      'llm-qat': { samples: 256, steps: null, learningRate: 2e-5, batchSize: 8 },
    },
    rotation: {
      r1: 'learned',
      r2: 'learned',
      r2Per: 'layer',
      r3: true,
      r4: true,
      r4Blocks: 'widest',
      acrossHeads: false,
      start: 'hadamard',
      seed: 0,
      embeddingCentring: false,
      learning: {
        objective: 'cross-entropy',
        optimizer: 'cayley-sgd',
        steps: 100,
        learningRate: 1.5,
        batchSize: 8,
        schedule: 'cosine',
        gradientClip: 1,
        weightBits: null,
        weightClip: null,
        weightClipEvery: 1,
        scaleGradient: false,
        precision: 'bfloat16-all',
        massiveWeight: 1,
        microBatch: null,
      },
    },
    evaluation: { perplexity: [], tasks: [], precision: 'float32' },
    device: 'auto',
    threads: null,
    memoryLimit: null,
    runs: '.spinquant/runs',
  });
});

test('comments, trailing commas, a byte order mark and CRLF are allowed', () => {
  const text = `\uFEFF// an experiment\r\n{ "model": "m", /* none */ ${HADAMARD},\r\n "calibration": { "text": ["a", "b",], }, }`;
  const { experiment, faults } = parseExperiment(text, 'x');
  assert.deepEqual(faults, []);
  assert.deepEqual(experiment?.calibration.text, ['a', 'b']);
});

test('calibration.text may be one path', () => {
  const { experiment } = parseExperiment('{ "model": "m", "calibration": { "text": "a.txt" } }', 'x');
  assert.deepEqual(experiment?.calibration.text, ['a.txt']);
});

test('every fault is reported at its place, in the order of the text', () => {
  const text = `{
  "model": "m",
  "quantization": { "weights": { "bits": 9, "groupsize": 128 } },
  "rotation": { "r1": "learnt", "learning": { "steps": 0 } },
  "evaluation": { "perplexity": [ { "name": "w", "text": 3 } ] },
  "sead": 1
}`;
  const faults = faultsOf(text);
  const seen = faults.map((fault) => [
    fault.code,
    fault.path.join('.'),
    textAt(text, fault),
    fault.range.line,
    fault.range.column,
  ]);
  assert.deepEqual(seen, [
    ['config/invalid-value', 'quantization.weights.bits', '9', 3, 42],
    ['config/unknown-key', 'quantization.weights.groupsize', '"groupsize"', 3, 45],
    ['config/invalid-value', 'rotation.r1', '"learnt"', 4, 23],
    ['config/invalid-value', 'rotation.learning.steps', '0', 4, 56],
    ['config/invalid-value', 'evaluation.perplexity.0.text', '3', 5, 58],
    ['config/unknown-key', 'sead', '"sead"', 6, 3],
  ]);
  assert.match(faults[0]!.message, /is 9; allowed: 2, 3, 4, 5, 6, 7, 8 or 16\./);
  assert.match(faults[1]!.message, /Did you mean "groupSize"\?/);
  assert.match(faults[3]!.message, /is 0; allowed: a whole number from 1 to 1000000, or null\./);
});

test('a key in the wrong object names the right one', () => {
  const fault = onlyFault('{ "model": "m", "calibration": { "text": "c" }, "gradientClip": 1 }');
  assert.match(fault.message, /"gradientClip" belongs in rotation\.learning\.gradientClip\./);
  const two = onlyFault('{ "model": "m", "calibration": { "text": "c" }, "learningRate": 1 }');
  assert.match(
    two.message,
    /belongs in rotation\.learning\.learningRate, or (scaling\.flatquant|training\.llm-qat)\.learningRate/,
  );
});

test('allowed ranges are exact', () => {
  const cases: [string, string, boolean][] = [
    ['quantization.activations.clipRatio', '0', false],
    ['quantization.activations.clipRatio', '0.0001', true],
    ['quantization.activations.clipRatio', '1', true],
    ['quantization.activations.clipRatio', '1.0001', false],
    ['quantization.weights.bits', '1', false],
    ['quantization.weights.bits', '2', true],
    ['quantization.weights.bits', '8', true],
    ['quantization.weights.bits', '12', false],
    ['quantization.weights.bits', '16', true],
    ['quantization.weights.bits', '4.5', false],
    ['quantization.weights.bits', '"4"', false],
    ['quantization.weights.groupSize', '0', false],
    ['quantization.weights.groupSize', '1', true],
    ['quantization.weights.groupSize', 'null', true],
    ['rotation.learning.learningRate', '0', false],
    ['rotation.learning.learningRate', '1000', true],
    ['rotation.learning.gradientClip', 'null', true],
    ['rotation.learning.gradientClip', '0', false],
    ['rotation.seed', '4294967295', true],
    ['rotation.seed', '4294967296', false],
    ['calibration.sequenceLength', '1', false],
    ['calibration.sequenceLength', '2', true],
    ['calibration.text', '""', false],
    ['calibration', 'null', false],
    ['device', '"gpu"', false],
    ['threads', '0', false],
    ['model', '""', false],
  ];
  for (const [path, value, allowed] of cases) {
    const [text, start] = nest(path, value);
    const errors = faultsOf(text).filter(
      (fault) => fault.code === 'config/invalid-value' && fault.path.join('.') === path,
    );
    assert.equal(errors.length, allowed ? 0 : 1, `${path} = ${value}`);
    if (!allowed) assert.equal(errors[0]!.range.offset, start, `${path} = ${value}`);
  }
});

/** An experiment text with one value at a dotted path, and the offset of the value. */
function nest(path: string, value: string): [string, number] {
  const keys = path.split('.');
  const prefix = keys[0] === 'model' ? '' : '{ "model": "m", ';
  const opened = keys.map((key) => `"${key}": `).join('{ ');
  const head = prefix ? prefix + opened : `{ ${opened}`;
  return [head + value + ' }'.repeat(keys.length), head.length];
}

test('a missing model points at the brace that lacks it', () => {
  const fault = onlyFault(`  { "device": "cpu", ${HADAMARD} }`);
  assert.equal(fault.code, 'config/missing-key');
  assert.deepEqual(fault.range, { offset: 2, length: 1, line: 1, column: 3 });
});

test('syntax faults do not hide value faults, nor claim that keys are missing', () => {
  const text = '{ "device": "gpu" "threads": 2';
  const codes = faultsOf(text).map((fault) => [fault.code, fault.message]);
  assert.deepEqual(
    codes.map(([code]) => code),
    ['config/invalid-value', 'config/syntax', 'config/syntax'],
  );
  assert.match(codes[1]![1]!, /comma/);
  assert.match(codes[2]![1]!, /brace/);
  assert.equal(parseExperiment('{ "model": "m" ', 'x').experiment, null);
});

test('an empty file, a list and a bare word are faults, not crashes', () => {
  assert.equal(onlyFault('').code, 'config/syntax');
  assert.equal(onlyFault('[]').code, 'config/invalid-value');
  assert.ok(faultsOf('model').length > 0);
});

test('a text that nests deeper than can be read has one fault, at the bracket that is too much', () => {
  for (const [open, close] of [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
    for (const depth of [97, 98, 5000, 200_000]) {
      const text = `{ "model": "m", "calibration": { "text": ${open.repeat(depth)}1${close.repeat(depth)} } }`;
      const tooDeep = parseExperiment(text, 'a.spinquant.json').faults.filter(
        ({ code }) => code === 'config/too-deep',
      );
      // Two levels are around it.
      const expected = depth + 2 > 100 ? [text.indexOf(open, 40) + 98 * open.length] : [];
      assert.deepEqual(
        tooDeep.map(({ range }) => range.offset),
        expected,
      );
    }
  const inTexts = `{ "model": "${'['.repeat(200)}" /* ${'{'.repeat(200)} */, "calibration": { "text": "t" } }`;
  assert.deepEqual(parseExperiment(inTexts, 'a.spinquant.json').faults, []);
});

test('a key written twice is a fault at the second', () => {
  const text = `{ "model": "a", ${HADAMARD}, "model": "b" }`;
  const fault = onlyFault(text);
  assert.equal(fault.code, 'config/duplicate-key');
  assert.equal(fault.range.offset, text.lastIndexOf('"model"'));
});

test('rangeAt falls back to what is there', () => {
  const text = '{ "model": "m", "calibration": { "text": "t" } }';
  const parsed = parseExperiment(text, 'x');
  const at = (...path: (string | number)[]) => {
    const range = parsed.rangeAt(path);
    return text.slice(range.offset, range.offset + range.length);
  };
  assert.equal(at('model'), '"m"');
  assert.equal(at('calibration', 'text', 0), '"t"');
  assert.equal(at('rotation', 'r1'), '{');
});

test('the example has neither errors nor warnings', () => {
  const file = fileURLToPath(new URL('../../examples/demo/quick.spinquant.json', import.meta.url));
  const { experiment, faults } = parseExperiment(readFileSync(file, 'utf8'), file, 'optimize');
  assert.deepEqual(faults, []);
  assert.equal(experiment?.model, 'model');
});
