import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { RotationMatrices } from '../../src/engine/network/network.ts';

/** Identities are as good as any rotations for time and memory, and are made at once at every size. */
export function identities(config: ModelConfig): RotationMatrices {
  const identity = (n: number) => {
    const matrix = new Float32Array(n * n);
    for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
    return matrix;
  };
  return {
    r1: identity(config.hiddenSize),
    r2: Array.from({ length: config.layers }, () => identity(config.headDim)),
  };
}
