/** Jobs on the demo model, cut short. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';

const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo');

export type Learning = Partial<ResolvedExperiment['rotation']['learning']>;
export type WeightRounding = Partial<ResolvedExperiment['quantization']['weights']>;

export interface Changes {
  readonly learning?: Learning;
  readonly rotation?: Partial<ResolvedExperiment['rotation']>;
  readonly weights?: WeightRounding;
}

/** A copy of the demo in a folder of its own, for the runs of one test file. */
export function demoFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-demo-'));
  cpSync(DEMO, folder, { recursive: true, filter: (source) => !source.includes('.spinquant/') });
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** The demo's experiment with few steps of few short sequences. */
export async function shortExperiment(
  folder: string,
  { learning, rotation, weights }: Changes,
): Promise<ResolvedExperiment> {
  const demo = await resolveExperiment(join(folder, 'quick.spinquant.json'), 'optimize');
  const { quantization } = demo;
  const short = { steps: 4, batchSize: 3, microBatch: 2, ...learning };
  return {
    ...demo,
    calibration: { ...demo.calibration, sequenceLength: 48, samples: 9 },
    quantization: { ...quantization, weights: { ...quantization.weights, ...weights } },
    rotation: { ...demo.rotation, ...rotation, learning: { ...demo.rotation.learning, ...short } },
    evaluation: {
      ...demo.evaluation,
      perplexity: demo.evaluation.perplexity.map((task) => ({ ...task, sequenceLength: 64, maxWindows: 4 })),
    },
  };
}

export async function collect<T>(
  job: AsyncGenerator<RunEvent, T>,
): Promise<{ events: RunEvent[]; result: T }> {
  const events: RunEvent[] = [];
  for (;;) {
    const next = await job.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
  }
}
