/** Experiments to start from. Knows nothing of the editor. */

export type PresetName = 'faithful' | 'no-had' | 'quick' | 'best' | 'vllm-w4a4';

/** The first is a look that takes minutes, the second what we recommend; the paper's recipes stand behind them. */
export const PRESETS: readonly PresetName[] = ['quick', 'best', 'vllm-w4a4', 'faithful', 'no-had'];

/** The model and the texts of a new experiment. */
export interface Sources {
  /** Relative to the experiment file, with `/`. */
  readonly model: string;
  /** Text to learn on, or null to be filled in. */
  readonly train: string | null;
  /** Text to measure on, or null for none. */
  readonly test: string | null;
  /** Positions that the model was made for. */
  readonly maxPositions: number;
}

export interface NewExperiment extends Sources {
  readonly preset: PresetName;
}

/** The text of `learning`; keys that it leaves out are at the default of its objective. */
type LearningShape =
  | { readonly objective: 'cross-entropy'; readonly steps: number; readonly batchSize: number }
  | { readonly objective: 'peak' };

interface Shape {
  readonly activationBits: number;
  readonly cacheBits: number;
  /** The rounding of the weights. */
  readonly method: 'rtn' | 'gptq';
  /** True for all that lowers perplexity and costs next to nothing at run time. */
  readonly isBest?: true;
  /** True for the network that vLLM multiplies in whole numbers. */
  readonly isServed?: true;
  readonly online: boolean;
  readonly start: 'hadamard' | 'captured';
  readonly samples: number;
  readonly sequenceLength: number;
  readonly learning: LearningShape;
  readonly maxWindows: number | null;
}

export const SHAPES: Readonly<Record<PresetName, Shape>> = {
  // The paper's recipe: rotations are learned with 16-bit weights, then GPTQ rounds the weights. The 100 steps of 8
  // sequences of 2048 tokens are those of the reference implementation's scripts.
  faithful: {
    activationBits: 4,
    cacheBits: 4,
    method: 'gptq',
    online: true,
    start: 'hadamard',
    samples: 800,
    sequenceLength: 2048,
    learning: { objective: 'cross-entropy', steps: 100, batchSize: 8 },
    maxWindows: null,
  },
  // "no had": merged rotations only, nothing online; enough at 8-bit activations. Learned and rounded as above.
  'no-had': {
    activationBits: 8,
    cacheBits: 8,
    method: 'gptq',
    online: false,
    start: 'hadamard',
    samples: 800,
    sequenceLength: 2048,
    learning: { objective: 'cross-entropy', steps: 100, batchSize: 8 },
    maxWindows: null,
  },
  // From captured activations alone, which takes seconds: with weights rounded by GPTQ ahead of cross-entropy on every
  // model measured (docs/results.md). A look, not a result: short sequences, eight windows.
  quick: {
    activationBits: 4,
    cacheBits: 4,
    method: 'gptq',
    online: true,
    start: 'hadamard',
    samples: 128,
    sequenceLength: 256,
    learning: { objective: 'peak' },
    maxWindows: 8,
  },
  // The least perplexity at next to no price at run time, within what seeds differ by (docs/quality.md): the row `best`
  // of tables.
  best: {
    activationBits: 4,
    cacheBits: 4,
    method: 'gptq',
    isBest: true,
    online: true,
    start: 'hadamard',
    samples: 128,
    sequenceLength: 2048,
    learning: { objective: 'peak' },
    maxWindows: null,
  },
  // What vLLM computes of a compressed-tensors folder: symmetric activations with the steps of its package and without
  // clipping, R4 in the blocks of its kernel, keys and values as they are. A peak is what the step of such a grid follows.
  'vllm-w4a4': {
    activationBits: 4,
    cacheBits: 16,
    method: 'gptq',
    isServed: true,
    online: true,
    start: 'hadamard',
    samples: 128,
    sequenceLength: 2048,
    learning: { objective: 'peak' },
    maxWindows: null,
  },
};

/** The text of a new experiment file: only what the preset decides; everything else is at its default. */
export function experimentText(experiment: NewExperiment): string {
  const shape = SHAPES[experiment.preset];
  const { model, calibration, evaluation } = sourcesText(experiment, shape);
  const json = JSON.stringify;
  return `{
  ${model},
  ${calibration},
  "quantization": ${quantizationText(shape)},
  "rotation": {
    "r1": "learned",
    "r2": "learned",
    ${onlineText(shape)},
    "start": ${json(shape.start)},
    "learning": ${learningText(shape.learning)}
  },
  ${scalingText(shape)}${evaluation}
}
`;
}

function quantizationText(shape: Shape): string {
  if (shape.isBest) return bestQuantization(shape);
  return shape.isServed ? servedQuantization(shape) : plainQuantization(shape);
}

function scalingText({ isBest }: Shape): string {
  return isBest ? '"scaling": { "method": "balance" },\n  ' : '';
}

/** R3 has no place in front of vLLM's cache, nor use beside keys that are not rounded. */
function onlineText({ online, isServed }: Shape): string {
  if (isServed) return `"r3": false,\n    "r4": true, "r4Blocks": "power-of-two"`;
  return `"r3": ${online},\n    "r4": ${online}`;
}

function servedQuantization({ method, activationBits, cacheBits }: Shape): string {
  return `{
    "weights": {
      "bits": 4, "method": ${JSON.stringify(method)},
      "gptq": { "inputs": "quantized", "target": "residual", "damping": 0.3 }
    },
    "activations": { "bits": ${activationBits}, "symmetric": true, "fullRange": true },
    "keys": { "bits": ${cacheBits} },
    "values": { "bits": ${cacheBits} }
  }`;
}

function plainQuantization({ method, activationBits, cacheBits }: Shape): string {
  return `{
    "weights": { "bits": 4, "method": ${JSON.stringify(method)} },
    "activations": { "bits": ${activationBits} },
    "keys": { "bits": ${cacheBits}, "offset": "bias" },
    "values": { "bits": ${cacheBits} }
  }`;
}

function bestQuantization({ method, activationBits, cacheBits }: Shape): string {
  return `{
    "weights": {
      "bits": 4, "method": ${JSON.stringify(method)},
      "gptq": { "inputs": "quantized", "target": "residual", "damping": 0.3 }
    },
    "activations": { "bits": ${activationBits}, "clipRatio": "searched" },
    "keys": { "bits": ${cacheBits}, "offset": "mean", "clipRatio": "searched" },
    "values": { "bits": ${cacheBits}, "clipRatio": "searched" }
  }`;
}

/** The keys of a new experiment that say what it is about. */
export function sourcesText(
  { model, train, test, maxPositions }: Sources,
  shape: Pick<Shape, 'samples' | 'sequenceLength' | 'maxWindows'>,
): Readonly<Record<'model' | 'calibration' | 'evaluation', string>> {
  const sequenceLength = Math.min(shape.sequenceLength, maxPositions);
  const json = JSON.stringify;
  const texts =
    test === null
      ? '[]'
      : `[{ "name": ${json(nameOf(test))}, "text": ${json(test)}, "sequenceLength": ${sequenceLength}, "maxWindows": ${shape.maxWindows} }]`;
  return {
    model: `"model": ${json(model)}`,
    calibration: `"calibration": { "text": ${train === null ? '[]' : json(train)}, "samples": ${shape.samples}, "sequenceLength": ${sequenceLength} }`,
    evaluation: `"evaluation": { "perplexity": ${texts} }`,
  };
}

/** Cross-entropy is the default objective, so only its size is said. */
function learningText(learning: LearningShape): string {
  switch (learning.objective) {
    case 'cross-entropy':
      return `{ "steps": ${learning.steps}, "batchSize": ${learning.batchSize} }`;
    case 'peak':
      return `{ "objective": "${learning.objective}" }`;
  }
}

/** `test` of `data/test.txt`. */
function nameOf(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return base.replace(/\.[^.]+$/, '').slice(0, 100) || 'text';
}
