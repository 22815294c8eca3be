import {
  type Device,
  formatFault,
  learnsOnText,
  type Purpose,
  type ResolvedExperiment,
  sharedTextFaults,
  withHint,
} from '../config/index.ts';
import type { Ranks } from '../engine/index.ts';
import { isRunFolder, openRun } from '../runs/index.ts';
import { loadEngine } from './engine.ts';
import { interruptible } from './interrupt.ts';
import type { Output } from './output.ts';
import { follow } from './progress.ts';

export type KernelOption = 'auto' | 'native' | 'composed';

/** All commands that compute have these options. */
export interface ComputeFlags {
  readonly kernels: KernelOption;
  /** It replaces the experiment's device. */
  readonly device?: Device;
}

/**
 * Reads an experiment, downloads what it names on the Hub, checks it against its model too, and prints its warnings.
 * @param file of the experiment, or the folder of a run of it.
 * @param device replaces the one written there. @param ranks that all read it, rank 0 first.
 * @throws ExperimentError with every fault.
 */
export async function loadExperiment(
  file: string,
  purpose: Purpose,
  output: Output,
  device?: Device,
  ranks?: Ranks,
): Promise<ResolvedExperiment> {
  const engine = await loadEngine();
  // Downloads, and faults of the file, are the business of one.
  if (ranks) return engine.leaderFirst(ranks, () => loadExperiment(file, purpose, output, device));
  const written = isRunFolder(file)
    ? await (await openRun(file)).readExperiment()
    : await engine.loadExperiment(file, purpose);
  const experiment = await interruptible(output, (signal) =>
    follow(engine.fetchSources(written, purpose, signal), output),
  );
  // A run was checked when it was made: what is said again is what its numbers must not be taken for.
  if (isRunFolder(file) && purpose === 'evaluate' && learnsOnText(experiment))
    for (const { message, hint } of sharedTextFaults(experiment))
      output.warn(message, withHint(`${file}: ${message}`, hint));
  for (const fault of experiment.source.warnings)
    output.warn(fault.message, withHint(formatFault(file, fault), fault.hint));
  return device === undefined ? experiment : { ...experiment, device };
}
