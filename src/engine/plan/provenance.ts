import manifest from '../../../package.json' with { type: 'json' };
import type { Provenance } from '../../runs/index.ts';
import { describeWork, type Workbench } from './workbench.ts';

/** The origin of a run's numbers. */
export async function provenanceOf(bench: Workbench): Promise<Provenance> {
  const { experiment, runtime, checkpoint } = bench;
  return {
    productVersion: manifest.version,
    ortVersion: runtime.ortVersion,
    kernels: runtime.kernels,
    runtime: describeWork(bench),
    threads: runtime.threads,
    device: runtime.device.kind,
    executionProvider: runtime.device.executionProvider,
    adapter: runtime.device.adapter,
    deviceReason: runtime.device.reason,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    model: { path: experiment.model, sha256: await checkpoint.hash() },
    seeds: { calibration: experiment.calibration.seed, rotation: experiment.rotation.seed },
  };
}
