import { resolve } from 'node:path';
import { experimentSchema, type ResolvedExperiment } from '../config/index.ts';
import type { ExperimentOverrides } from '../protocol/worker.ts';

/** The editor's settings in the place of what the experiment file leaves at its default; what is written there wins. */
export function withOverrides(
  experiment: ResolvedExperiment,
  { device, threads, runs }: ExperimentOverrides,
): ResolvedExperiment {
  const { directory } = experiment.source;
  const defaultRuns = resolve(directory, experimentSchema.shape.runs.parse(undefined));
  return {
    ...experiment,
    device: experiment.device === 'auto' ? (device ?? 'auto') : experiment.device,
    threads: experiment.threads ?? threads,
    runs: runs !== null && experiment.runs === defaultRuns ? resolve(directory, runs) : experiment.runs,
  };
}
