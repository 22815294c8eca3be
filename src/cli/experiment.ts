import { type Device, formatFault, type Purpose, type ResolvedExperiment } from '../config/index.ts';
import { loadEngine } from './engine.ts';
import type { Output } from './output.ts';

export type KernelOption = 'auto' | 'native' | 'composed';

/** All commands that compute have these options. */
export interface ComputeFlags {
  readonly kernels: KernelOption;
  /** It replaces the experiment's device. */
  readonly device?: Device;
}

/**
 * Reads an experiment, checks it against its model too, and prints its warnings.
 * @param device replaces the one written there.
 * @throws ExperimentError with every fault.
 */
export async function loadExperiment(
  file: string,
  purpose: Purpose,
  output: Output,
  device?: Device,
): Promise<ResolvedExperiment> {
  const experiment = await (await loadEngine()).loadExperiment(file, purpose);
  for (const fault of experiment.source.warnings)
    output.warn(fault.message, `${formatFault(file, fault)} ${fault.hint}`);
  return device === undefined ? experiment : { ...experiment, device };
}
