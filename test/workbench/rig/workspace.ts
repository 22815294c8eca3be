import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { EXPERIMENT, type Size } from './experiment.ts';
import { ROOT } from './rig.ts';

const DEMO = join(ROOT, 'examples', 'demo');

export interface TestWorkspace {
  readonly folder: string;
  remove(): void;
}

/** A temporary folder with the demo and a smaller experiment: few steps, but all of them real. */
export function createWorkspace(size: Size): TestWorkspace {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-lab-'));
  cpSync(DEMO, folder, { recursive: true, filter: (path) => basename(path) !== '.spinquant' });
  writeFileSync(join(folder, EXPERIMENT), experiment(size));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

function experiment({ steps, batchSize, sequenceLength }: Size): string {
  return `{
  "model": "model",
  "calibration": { "text": "calibration.txt", "samples": 64, "sequenceLength": ${sequenceLength} },
  "quantization": {
    "weights": { "bits": 4, "method": "gptq" },
    "activations": { "bits": 4 },
    "keys": { "bits": 4 },
    "values": { "bits": 4 }
  },
  "rotation": {
    "r1": "learned",
    "r2": "learned",
    "learning": { "steps": ${steps}, "batchSize": ${batchSize} }
  },
  "evaluation": {
    "perplexity": [
      { "name": "stories", "text": "test.txt", "sequenceLength": ${sequenceLength}, "maxWindows": 8 }
    ]
  },
  "threads": 1
}
`;
}
