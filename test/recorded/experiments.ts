/** The experiments that are recorded: short ones on the demo's model, each through a different part of the engine. */
import type { JsonObject } from './json.ts';

/** A run is killed once this event is in its log, and resumed. */
export interface Kill {
  readonly after: 'checkpoint' | 'rounding';
  /** Optimizer steps done by then: the kill came in time if there are no more. */
  readonly steps: number;
}

export interface RecordedExperiment {
  readonly name: string;
  /** Contents of the experiment file. */
  readonly settings: JsonObject;
  /** False where nothing is learned: only evaluate and inspect are recorded. */
  readonly learns: boolean;
  readonly kill: Kill | null;
}

interface Parts {
  readonly weights?: JsonObject;
  readonly quantization?: JsonObject;
  readonly rotation?: JsonObject;
  readonly learning?: JsonObject;
  readonly calibration?: JsonObject;
  readonly text?: JsonObject;
  readonly other?: JsonObject;
}

/** A micro-batch that does not divide the batch: gradients are summed over an uneven pair. */
const LEARNING = { steps: 5, batchSize: 3, microBatch: 2 };
/** The clipping ratios found before the kill serve after it, too. A first step is always followed by a checkpoint. */
const RESUMED = { steps: 4, batchSize: 6, microBatch: 4, weightClipEvery: 3 };

function settings(parts: Parts): JsonObject {
  return {
    model: '../demo/model',
    calibration: {
      text: '../demo/calibration.txt',
      samples: 12,
      sequenceLength: 64,
      ...parts.calibration,
    },
    quantization: { weights: { bits: 4, method: 'rtn', ...parts.weights }, ...parts.quantization },
    rotation: { ...parts.rotation, learning: { ...LEARNING, ...parts.learning } },
    evaluation: {
      perplexity: [
        { name: 'stories', text: '../demo/test.txt', sequenceLength: 64, maxWindows: 6, ...parts.text },
      ],
    },
    device: 'cpu',
    runs: 'runs',
    ...parts.other,
  };
}

const GPTQ = { method: 'gptq', gptq: { samples: 8 } };

const learned = (name: string, parts: Parts = {}, kill: Kill | null = null): RecordedExperiment => ({
  name,
  settings: settings(parts),
  learns: true,
  kill,
});

const measured = (name: string, parts: Parts): RecordedExperiment => ({
  name,
  settings: settings(parts),
  learns: false,
  kill: null,
});

/** Settings away from their defaults, as many as go together. */
const VARIED: Parts = {
  weights: { bits: 3, groupSize: 32, symmetric: false, clip: false },
  quantization: {
    activations: { bits: 6, symmetric: true, groupSize: 16, clipRatio: 0.9 },
    keys: { bits: 8, symmetric: true },
    values: { bits: 3, clipRatio: 0.95 },
  },
  rotation: { r2: 'random', start: 'random', seed: 7, embeddingCentring: true },
  learning: { schedule: 'linear', gradientClip: null, scaleGradient: true, precision: 'float32', steps: 4 },
  calibration: { bos: true, seed: 3 },
  text: { bos: true },
  other: { memoryLimit: 0.25 },
};

export const EXPERIMENTS: readonly RecordedExperiment[] = [
  learned('had'),
  learned('no_had', { rotation: { r3: false, r4: false } }),
  learned('captured', { rotation: { start: 'captured' }, learning: { steps: 4 } }),
  learned('gptq', { weights: GPTQ, learning: { objective: 'peak', steps: 30 } }),
  learned('resume', { learning: RESUMED }, { after: 'checkpoint', steps: 1 }),
  learned(
    'resume_adam',
    { learning: { ...RESUMED, optimizer: 'lie-adam' } },
    { after: 'checkpoint', steps: 1 },
  ),
  learned('resume_gptq', { weights: GPTQ, learning: { steps: 4 } }, { after: 'rounding', steps: 4 }),
  learned('varied', VARIED),
  measured('drawn', { weights: GPTQ, rotation: { r1: 'hadamard', r2: 'random' } }),
];
