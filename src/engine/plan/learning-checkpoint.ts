import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { LearnerMemory, RotationState } from '../transform/learning/learner.ts';
import type { Moments } from '../transform/learning/rotation-update.ts';

/** Everything that a run needs to go on: the rotations after so many steps. One file, replaced atomically. */
const STATE_FILE = 'state.safetensors';

export interface LearningCheckpoint {
  readonly step: number;
  readonly state: RotationState;
  readonly memory: LearnerMemory;
}

/** Groups of tensors beside the rotations themselves. */
const SEARCHED = 'searched.';
const MOMENT = { m: 'moment1.', v: 'moment2.' } as const;

export async function writeCheckpoint(
  folder: string,
  { step, state, memory }: LearningCheckpoint,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { moments, searchedAt } = memory;
  const tensors = {
    ...rotationTensors(state),
    ...(searchedAt && rotationTensors(searchedAt, SEARCHED)),
    ...momentTensors('R1', moments?.r1 ?? null),
    ...momentTensors('R2', moments?.r2 ?? null),
  };
  await writeSafetensors(join(folder, STATE_FILE), tensors, { step: String(step) });
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
  const rotations = (prefix: string): RotationState => {
    const r2: Float32Array[] = [];
    for (let layer = 0; tensors.has(`${prefix}R2.${layer}`); layer++) {
      r2.push(matrix(`${prefix}R2.${layer}`)!);
    }
    return { r1: matrix(`${prefix}R1`), r2: r2.length > 0 ? r2 : null };
  };
  const moments = (group: string): Moments | null => {
    const [m, v] = [matrix(MOMENT.m + group), matrix(MOMENT.v + group)];
    return m && v ? { m, v } : null;
  };
  const [r1, r2] = [moments('R1'), moments('R2')];
  const searched = rotations(SEARCHED);
  const memory = {
    moments: r1 || r2 ? { r1, r2 } : null,
    searchedAt: searched.r1 || searched.r2 ? searched : null,
  };
  return { step, state: rotations(''), memory };
}

function rotationTensors({ r1, r2 }: RotationState, prefix = ''): Record<string, HostTensor> {
  const square = (matrix: Float32Array) =>
    float32([Math.sqrt(matrix.length), Math.sqrt(matrix.length)], matrix);
  return {
    ...(r1 && { [`${prefix}R1`]: square(r1) }),
    ...Object.fromEntries((r2 ?? []).map((matrix, layer) => [`${prefix}R2.${layer}`, square(matrix)])),
  };
}

function momentTensors(group: string, moments: Moments | null): Record<string, HostTensor> {
  if (!moments) return {};
  const flat = (values: Float32Array) => float32([values.length], values);
  return { [MOMENT.m + group]: flat(moments.m), [MOMENT.v + group]: flat(moments.v) };
}
