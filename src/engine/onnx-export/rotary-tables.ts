import { float32 } from '../../protocol/tensor.ts';
import type { ModelConfig } from '../model/config.ts';
import { ropeLimits, ropeTables } from '../model/rope.ts';
import type { ModelGraph } from './model-graph.ts';

/** Rotary tables, float32 [positions, h/2]. */
export interface RotaryTables {
  readonly cos: string;
  readonly sin: string;
}

/** Positions for which the rotary tables of one length of text serve. */
export const contextLength = (config: ModelConfig): number => ropeLimits(config)[0] ?? config.maxPositions;

export async function rotaryTables(graph: ModelGraph, config: ModelConfig): Promise<RotaryTables> {
  const count = contextLength(config);
  const { cos, sin } = ropeTables(config, count);
  const dims = [count, config.headDim / 2];
  return {
    cos: await graph.tensor('rotary.cos', float32(dims, cos)),
    sin: await graph.tensor('rotary.sin', float32(dims, sin)),
  };
}
