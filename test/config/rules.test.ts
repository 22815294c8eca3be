import assert from 'node:assert/strict';
import test from 'node:test';
import { type Experiment, type Purpose, validateTogether } from '../../src/config/index.ts';
import { experimentWith } from './experiment-with.ts';

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
    name: 'a full range of asymmetric grids, and blocks of no R4',
    change: (e) => {
      Object.assign(e.quantization.activations, { bits: 8, fullRange: true });
      Object.assign(e.rotation, { r4: false, r4Blocks: 'power-of-two' });
    },
    expected: ['warning config/unused-option', 'warning config/unused-option'],
  },
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
    name: 'what GPTQ hands on beside errors knows no scales that wait for them',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      Object.assign(e.quantization.weights.gptq, { target: 'gptaq', groupScales: 'updated', sweeps: 2 });
    },
    purpose: 'evaluate',
    expected: ['error config/group-scales'],
  },
  {
    name: 'FOEM pulls weights back before their group begins, and ratios are learned before the first',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      Object.assign(e.quantization.weights.gptq, { foem: 0.1, groupScales: 'updated', learnedClip: true });
    },
    purpose: 'evaluate',
    expected: ['error config/group-scales', 'error config/group-scales'],
  },
  {
    name: 'sweeps, MagR and Qronos go together, with scales of either kind',
    change: (e) => {
      e.quantization.weights.method = 'gptq';
      const more = { target: 'qronos', sweeps: 2, magr: 0.01, groupScales: 'updated' };
      Object.assign(e.quantization.weights.gptq, more);
    },
    purpose: 'evaluate',
    expected: [],
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
    name: 'a weight of massive tokens, by captured activations',
    change: (e) =>
      Object.assign(e.rotation, {
        start: 'captured',
        learning: { ...e.rotation.learning, massiveWeight: 64 },
      }),
    expected: [],
  },
  {
    name: 'a weight of massive tokens, by cross-entropy alone',
    change: (e) => (e.rotation.learning.massiveWeight = 64),
    expected: ['warning config/massive-weight'],
  },
  {
    name: 'a rate and an optimizer where steps follow no gradient',
    change: (e) =>
      Object.assign(e.rotation.learning, {
        objective: 'procrustes',
        optimizer: 'cayley-sgd',
        learningRate: 1,
      }),
    expected: ['warning config/unused-option'],
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
      const { weights, activations, keys, values } = e.quantization;
      for (const part of [weights, activations, keys, values]) part.bits = 16;
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
      const { weights, activations, keys, values } = e.quantization;
      for (const part of [weights, activations, keys, values]) part.bits = 16;
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
