/** Experiments to start from. Knows nothing of the editor. */

export type PresetName = 'faithful' | 'no-had' | 'quick';

export const PRESETS: readonly PresetName[] = ['faithful', 'no-had', 'quick'];

export interface NewExperiment {
  readonly preset: PresetName;
  /** Relative to the experiment file, with `/`. */
  readonly model: string;
  /** Text to learn on, or null to be filled in. */
  readonly train: string | null;
  /** Text to measure on, or null for none. */
  readonly test: string | null;
  /** Positions that the model was made for. */
  readonly maxPositions: number;
}

interface Shape {
  readonly activationBits: number;
  readonly cacheBits: number;
  readonly online: boolean;
  readonly start: 'hadamard' | 'captured';
  readonly samples: number;
  readonly sequenceLength: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly maxWindows: number | null;
}

export const SHAPES: Readonly<Record<PresetName, Shape>> = {
  // As the paper and the scripts of the reference implementation have it: 100 steps of 8 sequences of 2048 tokens.
  faithful: {
    activationBits: 4,
    cacheBits: 4,
    online: true,
    start: 'hadamard',
    samples: 800,
    sequenceLength: 2048,
    steps: 100,
    batchSize: 8,
    maxWindows: null,
  },
  // "no had": merged rotations only, nothing online; enough at 8-bit activations.
  'no-had': {
    activationBits: 8,
    cacheBits: 8,
    online: false,
    start: 'hadamard',
    samples: 800,
    sequenceLength: 2048,
    steps: 100,
    batchSize: 8,
    maxWindows: null,
  },
  // From captured activations, then a few steps of cross-entropy: the best of the learners at a fraction of the time.
  quick: {
    activationBits: 4,
    cacheBits: 4,
    online: true,
    start: 'captured',
    samples: 128,
    sequenceLength: 256,
    steps: 20,
    batchSize: 4,
    maxWindows: 8,
  },
};

/** The text of a new experiment file: only what the preset decides; everything else is at its default. */
export function experimentText(experiment: NewExperiment): string {
  const { model, train, test, maxPositions } = experiment;
  const shape = SHAPES[experiment.preset];
  const sequenceLength = Math.min(shape.sequenceLength, maxPositions);
  const json = JSON.stringify;
  const evaluation =
    test === null
      ? '[]'
      : `[{ "name": ${json(nameOf(test))}, "text": ${json(test)}, "sequenceLength": ${sequenceLength}, "maxWindows": ${shape.maxWindows} }]`;
  return `{
  "model": ${json(model)},
  "calibration": { "text": ${train === null ? '[]' : json(train)}, "samples": ${shape.samples}, "sequenceLength": ${sequenceLength} },
  "quantization": {
    "weights": { "bits": 4 },
    "activations": { "bits": ${shape.activationBits} },
    "keys": { "bits": ${shape.cacheBits} },
    "values": { "bits": ${shape.cacheBits} }
  },
  "rotation": {
    "r1": "learned",
    "r2": "learned",
    "r3": ${shape.online},
    "r4": ${shape.online},
    "start": ${json(shape.start)},
    "learning": { "steps": ${shape.steps}, "batchSize": ${shape.batchSize} }
  },
  "evaluation": { "perplexity": ${evaluation} }
}
`;
}

/** `test` of `data/test.txt`. */
function nameOf(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return base.replace(/\.[^.]+$/, '').slice(0, 100) || 'text';
}
