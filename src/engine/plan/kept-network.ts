import { join } from 'node:path';
import { searchesClips, trainingOf } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { RUN_FILES, textOfClipRatios } from '../../runs/index.ts';
import type { Network } from '../network/network.ts';
import { textOfRounded } from '../rounding/rounded-layers.ts';
import type { Executor } from './execute.ts';
import type { QuantizedForm } from './experiment-plan.ts';
import type { OpenedWriter } from './opened-writer.ts';
import { keptClipsStep } from './steps/clips.ts';
import { givenStep } from './steps/maps.ts';
import { quantizedNetwork } from './steps/measures.ts';
import { keptWeightsStep } from './steps/weights.ts';
import type { Workbench } from './workbench.ts';

/**
 * The network of a run whose rounded weights tell what text they were rounded on: the text need not be read, nor all
 * weights be looked at. Null where the text decides more than that, or the weights are others.
 */
export async function* keptNetwork(
  { run }: Pick<OpenedWriter, 'run'>,
  { path, integer }: QuantizedForm,
  { experiment, scaling, rounding }: Workbench,
  executor: Executor,
): AsyncGenerator<RunEvent, Network | null> {
  const text = run && textOfRounded(join(run.dir, RUN_FILES.rounded));
  if (
    run === null ||
    text === null ||
    scaling !== null ||
    trainingOf(experiment) !== null ||
    rounding?.learns
  )
    return null;
  const clipText = await textOfClipRatios(join(run.dir, RUN_FILES.clipRatios));
  if (searchesClips(experiment.quantization) && clipText === null) return null;
  const maps = givenStep(experiment, path);
  const clips = clipText === null ? null : keptClipsStep(experiment, maps, clipText);
  const weights = await keptWeightsStep(experiment, maps, { text, clips });
  if (weights === null) return null;
  yield* executor.execute(maps);
  if (clips && (yield* executor.execute(clips)).length === 0) return null;
  if ((yield* executor.execute(weights)) === null) return null;
  return quantizedNetwork(executor, { maps, weights, trained: null, clips, integer });
}
