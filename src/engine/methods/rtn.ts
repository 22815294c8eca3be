import type { RoundingMethod } from './method.ts';

/** Round to nearest: a network rounds its own weights when it prepares them. */
export const method: RoundingMethod = { kind: 'rounding', version: 1, round: null };
