import type { RoundingOptions } from '../../src/engine/rounding/gptq/layer-rounder.ts';

/** GPTQ as published, without what was added to it. */
export const PLAIN_GPTQ = {
  damping: 0.01,
  actOrder: false,
  groupScales: 'static',
  target: 'weights',
  gptaqAlpha: 0.25,
  foem: 0,
  magr: 0,
  magrSteps: 200,
  learnedClip: false,
  learnedClipSteps: 100,
  sweeps: 0,
} as const satisfies RoundingOptions;
