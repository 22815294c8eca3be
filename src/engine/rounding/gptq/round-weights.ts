import type { RunEvent } from '../../../protocol/events.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { type WalkTask, walkLayers } from '../walk/walk-layers.ts';
import { LayerRounder, type RoundingOptions } from './layer-rounder.ts';

export interface RoundingTask extends Pick<WalkTask, 'network' | 'exact' | 'blocks' | 'layers'> {
  readonly options: RoundingOptions;
}

/** GPTQ over the whole network. See {@link walkLayers}. */
export function roundWeights(
  cache: ProgramCache,
  { options, ...task }: RoundingTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const rounder = new LayerRounder(cache, task.network, options);
  const seesResidual = options.target === 'residual';
  return walkLayers(cache, { ...task, seesResidual, method: 'gptq', rounder }, signal);
}
