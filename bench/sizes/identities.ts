import type { ModelConfig } from '../../src/engine/model/config.ts';
import { type SeamState, spinQuantState } from '../../src/engine/network/seams.ts';

/** Identities are as good as any rotations for time and memory, and are made at once at every size. */
export function identities(config: ModelConfig): SeamState {
  const identity = (n: number) => {
    const matrix = new Float32Array(n * n);
    for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
    return matrix;
  };
  return spinQuantState(
    identity(config.hiddenSize),
    Array.from({ length: config.layers }, () => identity(config.headDim)),
  );
}
