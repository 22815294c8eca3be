/** Runs of experiments that need no model, for tests of the run folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { experimentSchema, type ResolvedExperiment, resolvePortable } from '../../src/config/index.ts';
import { type RunEvent, timed } from '../../src/protocol/events.ts';

export type Context = { after(fn: () => Promise<void>): void };

export async function experimentIn(t: Context): Promise<ResolvedExperiment> {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-runs-'));
  t.after(() => rm(folder, { recursive: true }));
  const settings = experimentSchema.parse({ model: 'models/m', calibration: { text: '../train.txt' } });
  return resolvePortable(settings, join(folder, 'quick.spinquant.json'));
}

export function step(number: number, of = 10): RunEvent {
  return timed({
    type: 'step',
    step: number,
    of,
    loss: 3 / number,
    gradientNorm: 1,
    learningRate: 1.5,
    stepCap: { r1: 1, r2Max: null },
    orthogonalityError: 1e-6,
    distanceFromStart: { r1: 0.1, r2: null },
    seconds: 0.5,
    tokens: 4096,
  });
}
