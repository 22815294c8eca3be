import { hasLearnedRotation } from '../../config/index.ts';
import { expectWritable } from '../../disk/faults.ts';
import { isRunFolder, openRun, writeAttribution } from '../../runs/index.ts';
import { attributionText } from '../attribution-table.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';

export interface AttributeFlags extends ComputeFlags {
  readonly rotations?: string;
  readonly out?: string;
  readonly tokens?: number;
  readonly exact?: true;
  readonly curve?: true;
}

/** @param file of an experiment, or the folder of a run, whose rotations and rounded weights then serve. */
export async function attribute(file: string, flags: AttributeFlags, output: Output): Promise<undefined> {
  if (flags.out !== undefined) expectWritable(flags.out);
  const experiment = await loadExperiment(file, 'inspect', output, flags.device);
  const own = isRunFolder(file) ? (await openRun(file)).dir : undefined;
  const path = flags.rotations ?? (hasLearnedRotation(experiment.rotation) ? own : undefined);
  const engine = await loadEngine();
  const source = path === undefined ? null : await engine.findSource(experiment, { path });
  const { kernels, tokens, exact, curve } = flags;
  const found = await interruptible(output, (signal) =>
    follow(
      engine.attributeAndKeep(experiment, source, { signal, kernels, tokens, exact, curve, weights: own }),
      output,
    ),
  );
  const { run, ...attribution } = found;
  // What took minutes is shown before a full disk can spoil it.
  output.document(found);
  output.result(`${attributionText(attribution)}\n\nRun: ${run}`);
  if (flags.out !== undefined) writeAttribution(flags.out, attribution);
}
