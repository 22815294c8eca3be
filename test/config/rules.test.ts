import assert from 'node:assert/strict';
import test from 'node:test';
import {
  bitsLabel,
  type Experiment,
  experimentDifferences,
  experimentJsonSchema,
  experimentSchema,
  type JsonSchema,
  learningWeightBits,
  learningWeightClip,
  type Purpose,
  parseExperiment,
  validateTogether,
} from '../../src/config/index.ts';
import { editDistance, nearestName } from '../../src/config/nearest.ts';

/** An experiment without any fault, and what a case changes in it. */
function experimentWith(change: (draft: Experiment) => void): Experiment {
  const draft = experimentSchema.parse({
    model: 'm',
    calibration: { text: 'c.txt' },
    evaluation: { perplexity: [{ name: 'w', text: 't.txt' }] },
  });
  change(draft);
  return draft;
}

/** Weights by QuIP#, all else as it is, and no learning. */
function weightsAlone(e: Experiment, bits: Experiment['quantization']['weights']['bits']): Experiment {
  Object.assign(e.quantization.weights, { method: 'quip', bits });
  for (const part of ['activations', 'keys', 'values'] as const) e.quantization[part].bits = 16;
  Object.assign(e.rotation, { r1: 'hadamard', r2: 'hadamard' });
  return e;
}

const cases: {
  name: string;
  change: (draft: Experiment) => void;
  purpose?: Purpose;
  expected: string[];
}[] = [
  { name: 'the plain case has no fault', change: () => {}, expected: [] },
  {
    name: 'learned without calibration text',
    change: (e) => (e.calibration.text = []),
    expected: ['error config/no-calibration-text'],
  },
  {
    name: 'given rotations need no calibration text',
    change: (e) => (e.calibration.text = []),
    purpose: 'evaluate',
    expected: [],
  },
  {
    name: 'Hadamard rotations need no calibration text',
    change: (e) =>
      Object.assign(e, {
        calibration: { ...e.calibration, text: [] },
        rotation: { ...e.rotation, r1: 'hadamard', r2: 'none' },
      }),
    expected: [],
  },
  {
    name: 'optimize with nothing learned',
    change: (e) => Object.assign(e.rotation, { r1: 'random', r2: 'none' }),
    purpose: 'optimize',
    expected: ['error config/nothing-learned'],
  },
  {
    name: 'GPTQ looks at the calibration text even where nothing is learned',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      e.calibration.text = [];
    },
    purpose: 'evaluate',
    expected: ['error config/no-calibration-text'],
  },
  {
    name: 'GPTQ without weights to round needs no text',
    change: (e) => {
      Object.assign(e.quantization.weights, { method: 'gptq', bits: 16 });
      e.calibration.text = [];
    },
    purpose: 'evaluate',
    expected: [],
  },
  {
    name: 'OmniQuant beside a method that scales the same channels',
    change: (e) => {
      e.quantization.weights.method = 'omniquant';
      e.scaling.method = 'smoothquant';
    },
    expected: ['error config/scaled-twice'],
  },
  {
    name: 'OmniQuant learns no scales where activations are not rounded',
    change: (e) => {
      e.quantization.weights.method = 'omniquant';
      e.quantization.activations.bits = 16;
      e.scaling.method = 'smoothquant';
    },
    expected: [],
  },
  {
    name: 'GPTQ after learning with weights rounded to nearest',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      e.rotation.learning.weightBits = 4;
    },
    expected: ['warning config/weight-bits'],
  },
  {
    name: 'GPTQ with an objective that sees no weights',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      Object.assign(e.rotation.learning, { weightBits: 4, objective: 'peak' });
    },
    expected: [],
  },
  {
    name: 'a device that this machine may not have: said when it is used',
    change: (e) => (e.device = 'cuda'),
    purpose: 'evaluate',
    expected: [],
  },
  {
    name: 'nothing to evaluate',
    change: (e) => (e.evaluation.perplexity = []),
    purpose: 'evaluate',
    expected: ['error config/no-evaluation'],
  },
  {
    name: 'two measurements of one name',
    change: (e) => e.evaluation.perplexity.push(e.evaluation.perplexity[0]!),
    expected: ['error config/same-name'],
  },
  {
    name: 'a micro-batch larger than the batch',
    change: (e) => (e.rotation.learning.microBatch = 9),
    expected: ['error config/micro-batch'],
  },
  {
    name: 'R4 off with A4',
    change: (e) => (e.rotation.r4 = false),
    expected: ['warning config/r4-off'],
  },
  {
    name: 'R4 off with A8',
    change: (e) =>
      Object.assign(e, {
        rotation: { ...e.rotation, r4: false },
        quantization: { ...e.quantization, activations: { ...e.quantization.activations, bits: 8 } },
      }),
    expected: [],
  },
  {
    name: 'R3 off with K4',
    change: (e) => (e.rotation.r3 = false),
    expected: ['warning config/r3-off'],
  },
  {
    name: 'learned for other weights than are deployed',
    change: (e) => (e.rotation.learning.weightBits = 16),
    expected: ['warning config/weight-bits'],
  },
  {
    name: 'a lattice at bits that it has',
    change: (e) => weightsAlone(e, 3),
    expected: [],
  },
  {
    name: 'a lattice at bits that it has no codebook for',
    change: (e) => weightsAlone(e, 8),
    expected: ['error config/method-bits'],
  },
  {
    name: 'a lattice with 4-bit activations and caches: one fault for all',
    change: (e) => Object.assign(e.quantization.weights, { method: 'quip' }),
    expected: ['error config/weights-only'],
  },
  {
    name: 'a lattice with groups of a grid',
    change: (e) => Object.assign(weightsAlone(e, 2).quantization.weights, { groupSize: 32 }),
    expected: ['warning config/unused-grid'],
  },
  {
    name: 'the gradient through scales, by cross-entropy',
    change: (e) => (e.rotation.learning.scaleGradient = true),
    expected: [],
  },
  {
    name: 'the gradient through scales where nothing is quantized',
    change: (e) =>
      Object.assign(e.rotation.learning, { scaleGradient: true, objective: 'peak', optimizer: 'lie-adam' }),
    expected: ['warning config/scale-gradient'],
  },
  {
    name: 'fewer sequences than a batch',
    change: (e) => (e.calibration.samples = 7),
    expected: ['warning config/few-samples'],
  },
  {
    name: 'the parity flag',
    change: (e) => (e.rotation.embeddingCentring = true),
    expected: ['warning config/embedding-centring'],
  },
  {
    name: 'nothing quantized',
    change: (e) => {
      for (const part of Object.values(e.quantization)) part.bits = 16;
    },
    expected: ['warning config/nothing-quantized'],
  },
  {
    name: 'options of a method that is not chosen',
    change: (e) => {
      e.scaling.smoothquant.alpha = 0.7;
      e.quantization.weights.gptq.damping = 0.05;
    },
    expected: ['warning config/unused-option', 'warning config/unused-option'],
  },
  {
    name: 'options of the methods that are chosen',
    change: (e) => {
      Object.assign(e.scaling, { method: 'smoothquant', smoothquant: { alpha: 0.7, samples: 4 } });
      Object.assign(e.quantization.weights, { method: 'gptq', gptq: { damping: 0.05, samples: 4 } });
    },
    expected: [],
  },
  {
    name: 'options of the method for weights that are not rounded',
    change: (e) =>
      Object.assign(e.quantization.weights, {
        bits: 16,
        method: 'gptq',
        gptq: { damping: 0.05, samples: 4 },
      }),
    expected: ['warning config/unused-option'],
  },
  {
    name: 'scales of the values and of the MLP, where rotations stand',
    change: (e) => {
      e.scaling.method = 'awq';
      Object.assign(e.rotation, { r1: 'none', r2: 'hadamard', r4: true });
    },
    expected: ['error config/scales-and-rotation', 'error config/scales-and-rotation'],
  },
  {
    name: 'scales for weights behind a rotation of the residual',
    change: (e) => {
      e.scaling.method = 'awq';
      Object.assign(e.rotation, { r1: 'hadamard', r2: 'none', r4: false });
    },
    expected: ['warning config/r4-off', 'warning config/scales-for-nothing'],
  },
  {
    name: 'scales for weights that are not rounded',
    change: (e) => {
      e.scaling.method = 'awq';
      e.quantization.weights.bits = 16;
      Object.assign(e.rotation, { r1: 'none', r2: 'none', r4: false });
      e.quantization.activations.bits = 8;
    },
    expected: ['warning config/scales-for-nothing'],
  },
  {
    name: 'scales and clipping for weights, and nothing rotated',
    change: (e) => {
      e.scaling.method = 'awq';
      e.quantization.weights.method = 'awq-clip';
      Object.assign(e.rotation, { r1: 'none', r2: 'none', r4: false });
      e.quantization.activations.bits = 8;
    },
    expected: [],
  },
  {
    name: 'options of a training method that is not chosen',
    change: (e) => (e.training['llm-qat'].samples = 3),
    expected: ['warning config/unused-option'],
  },
  {
    name: 'training with a rotation',
    change: (e) => (e.training.method = 'llm-qat'),
    expected: ['error training/maps'],
  },
  {
    name: 'training with a scaling',
    change: (e) => {
      withoutRotation(e);
      Object.assign(e.training, { method: 'llm-qat' });
      Object.assign(e.scaling, { method: 'smoothquant' });
    },
    purpose: 'evaluate',
    expected: ['warning config/r4-off', 'warning config/r3-off', 'error training/maps'],
  },
  {
    name: 'training without rotation and scaling',
    change: (e) => {
      withoutRotation(e);
      Object.assign(e.training, { method: 'llm-qat', 'llm-qat': { ...e.training['llm-qat'], samples: 3 } });
    },
    purpose: 'evaluate',
    expected: ['warning config/r4-off', 'warning config/r3-off'],
  },
  {
    name: 'training where nothing is quantized',
    change: (e) => {
      withoutRotation(e);
      e.training.method = 'llm-qat';
      for (const part of Object.values(e.quantization)) part.bits = 16;
    },
    purpose: 'evaluate',
    expected: ['error training/nothing-quantized'],
  },
  {
    name: 'learning where nothing is learned',
    change: (e) =>
      Object.assign(e.rotation, {
        ...{ r1: 'hadamard', r2: 'none', start: 'random' },
        learning: { ...e.rotation.learning, steps: 3 },
      }),
    expected: ['warning config/unused-option', 'warning config/unused-option'],
  },
];

function withoutRotation({ rotation }: Experiment): void {
  Object.assign(rotation, { r1: 'none', r2: 'none', r3: false, r4: false });
}

for (const { name, change, purpose, expected } of cases)
  test(`rules: ${name}`, () => {
    const faults = validateTogether(experimentWith(change), purpose);
    assert.deepEqual(
      faults.map((fault) => `${fault.severity} ${fault.code}`),
      expected,
    );
  });

test('whatever needs a text, the way without it is a setting of its own kind', () => {
  const hintFor = (change: (experiment: Experiment) => void) => {
    const withoutText = experimentWith((experiment) => {
      change(experiment);
      experiment.calibration.text = [];
    });
    return validateTogether(withoutText, 'evaluate').map(({ hint }) => hint);
  };
  const way = (setting: string) => [`Name a text file in calibration.text, or set ${setting}.`];
  assert.deepEqual(
    hintFor((e) => (e.scaling.method = 'smoothquant')),
    way('scaling.method to "none"'),
  );
  assert.deepEqual(
    hintFor((e) => (e.quantization.weights.method = 'gptq')),
    way('quantization.weights.method to "rtn"'),
  );
});

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

test('the setting has the name the field uses', () => {
  const { quantization } = experimentWith(() => {});
  assert.equal(bitsLabel(quantization), 'W4A4KV4');
  assert.equal(bitsLabel({ ...quantization, values: { ...quantization.values, bits: 8 } }), 'W4A4K4V8');
});

test('learning follows the final rounding unless told otherwise', () => {
  assert.equal(learningWeightBits(experimentWith(() => {})), 4);
  assert.equal(learningWeightBits(experimentWith((e) => (e.quantization.weights.method = 'gptq'))), 16);
  assert.equal(learningWeightBits(experimentWith((e) => (e.rotation.learning.weightBits = 8))), 8);
  assert.equal(learningWeightClip(experimentWith(() => {})), true);
  assert.equal(learningWeightClip(experimentWith((e) => (e.rotation.learning.weightClip = false))), false);
});

/** Every key of an object schema with its dotted path. Keys of list items are written `list[].key`. */
function keysOf(schema: JsonSchema, prefix = ''): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => [
    [prefix + key, child],
    ...keysOf(child, `${prefix}${key}.`),
    ...keysOf(child.items ?? {}, `${prefix}${key}[].`),
  ]);
}

test('optimizer, steps and learning rate follow the objective', () => {
  const learning = (objective: string) =>
    experimentSchema.parse({ model: 'm', rotation: { learning: { objective } } }).rotation.learning;
  const { optimizer, steps, learningRate } = learning('cross-entropy');
  assert.deepEqual(
    { optimizer, steps, learningRate },
    { optimizer: 'cayley-sgd', steps: 100, learningRate: 1.5 },
  );
  const peak = learning('peak');
  assert.equal(peak.optimizer, 'lie-adam');
  assert.deepEqual([peak.steps, peak.learningRate], [200, 0.02]);
  // What a run keeps parses to itself.
  assert.deepEqual(
    experimentSchema.parse({ model: 'm', rotation: { learning: peak } }).rotation.learning,
    peak,
  );
});

test('the JSON schema describes every key', () => {
  const keys = keysOf(experimentJsonSchema());
  assert.ok(keys.length > 40);
  for (const [path, schema] of keys) assert.ok((schema.description ?? '').length > 20, path);
});

test('the defaults in the JSON schema are those of the parser', () => {
  const parsed: unknown = experimentSchema.parse({ model: 'm', matrix: {} });
  const valueAt = (path: string) =>
    path.split('.').reduce((value, key) => (value as Record<string, unknown>)[key], parsed);
  // null in the file stands for a value that follows the objective; the parser resolves it.
  const following = new Set(['optimizer', 'steps', 'learningRate'].map((key) => `rotation.learning.${key}`));
  for (const [path, schema] of keysOf(experimentJsonSchema())) {
    if (schema.properties || path.includes('[]') || path === 'model') continue;
    if (!following.has(path)) assert.deepEqual(schema.default, valueAt(path), path);
    else assert.ok(schema.default === null && valueAt(path) !== null, path);
  }
});

test('differences name the keys', () => {
  const a = experimentWith(() => {});
  const b = experimentWith((e) => {
    e.rotation.seed = 1;
    e.evaluation.perplexity = [];
  });
  assert.deepEqual(experimentDifferences(a, a), []);
  assert.deepEqual(
    experimentDifferences(a, b).map((difference) => difference.path),
    ['rotation.seed', 'evaluation.perplexity.0'],
  );
});

test('edit distance and the nearest name', () => {
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(nearestName('Seed', ['seed', 'steps']), 'seed');
  assert.equal(nearestName('qantization', ['quantization', 'rotation']), 'quantization');
  assert.equal(nearestName('xyz', ['seed', 'steps']), null);
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
