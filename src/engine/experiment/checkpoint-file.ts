import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { RotationState } from '../learn/learner.ts';

/** Everything that a run needs to go on: the rotations after so many steps. One file, replaced atomically. */
const STATE_FILE = 'state.safetensors';

export interface LearningCheckpoint {
  readonly step: number;
  readonly state: RotationState;
}

export async function writeCheckpoint(folder: string, { step, state }: LearningCheckpoint): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, STATE_FILE), rotationTensors(state), { step: String(step) });
}

/** @returns null when the run was stopped before its first checkpoint. */
export function readCheckpoint(folder: string): LearningCheckpoint | null {
  const path = join(folder, STATE_FILE);
  if (!existsSync(path)) return null;
  const { tensors, metadata } = readSafetensorsHeader(path);
  const step = Number(metadata.step);
  if (!Number.isInteger(step) || step < 0) {
    throw new UserError('runs/damaged', `${path} does not say which step it holds.`, 'Start the run anew.');
  }
  const matrix = (name: string) => {
    const tensor = tensors.get(name);
    return tensor ? toFloat32(tensor) : null;
  };
  const r2: Float32Array[] = [];
  for (let layer = 0; tensors.has(`R2.${layer}`); layer++) r2.push(matrix(`R2.${layer}`)!);
  return { step, state: { r1: matrix('R1'), r2: r2.length > 0 ? r2 : null } };
}

function rotationTensors({ r1, r2 }: RotationState): Record<string, HostTensor> {
  const square = (matrix: Float32Array) =>
    float32([Math.sqrt(matrix.length), Math.sqrt(matrix.length)], matrix);
  return {
    ...(r1 && { R1: square(r1) }),
    ...Object.fromEntries((r2 ?? []).map((matrix, layer) => [`R2.${layer}`, square(matrix)])),
  };
}
