import type { RunEvent } from '../../../protocol/events.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { type WalkTask, walkLayers } from '../walk/walk-layers.ts';
import { LayerRounder } from './layer-rounder.ts';

export interface RoundingTask extends Pick<WalkTask, 'network' | 'blocks' | 'layers'> {
  /** See {@link reverseFactor}. */
  readonly damping: number;
}

/** GPTQ over the whole network. See {@link walkLayers}. */
export function roundWeights(
  cache: ProgramCache,
  { network, blocks, layers, damping }: RoundingTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const rounder = new LayerRounder(cache, network, damping);
  return walkLayers(cache, { network, blocks, layers, method: 'gptq', rounder }, signal);
}
