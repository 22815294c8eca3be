import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader, type SafetensorsFile } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { SEAMS, type SeamName } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf } from '../../protocol/records.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { LossSummary } from '../../runs/index.ts';
import { type SeamState, seamsIn } from '../network/seams.ts';
import type { LearnerMemory } from '../transform/learning/learner.ts';
import type { Moments } from '../transform/learning/rotation-update.ts';
import { checkpointFault, type ExpectedCheckpoint } from './checkpoint-fault.ts';
import { LEARNED, MOMENT, mapName, SEARCHED } from './checkpoint-names.ts';
import { type CheckpointOrigin, parseCheckpointMetadata } from './checkpoint-origin.ts';

/** Everything that a run needs to go on: the rotations after so many steps. One file, replaced atomically. */
const STATE_FILE = 'state.safetensors';

export interface LearningCheckpoint {
  readonly step: number;
  readonly state: SeamState;
  readonly memory: LearnerMemory;
}

/** A checkpoint on the disk. Files of earlier versions tell no more than the step. */
export interface KeptCheckpoint extends LearningCheckpoint {
  readonly origin: CheckpointOrigin | null;
  readonly loss: LossSummary | null;
}

export async function writeCheckpoint(
  folder: string,
  { step, state, memory }: LearningCheckpoint,
  origin: CheckpointOrigin,
  loss: LossSummary,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { moments, searchedAt } = memory;
  const tensors = {
    ...mapTensors(state),
    ...(searchedAt && mapTensors(searchedAt, SEARCHED)),
    ...Object.assign({}, ...seamsIn(moments ?? {}).map((seam) => momentTensors(seam, moments?.[seam]))),
  };
  const metadata = { step: String(step), origin: JSON.stringify(origin), loss: JSON.stringify(loss) };
  await writeSafetensors(join(folder, STATE_FILE), tensors, metadata);
}

/** The step of a checkpoint, without its tensors. @returns 0 where there is no checkpoint. */
export function checkpointStep(folder: string): number {
  return readState(folder)?.step ?? 0;
}

/** @throws UserError `runs/damaged`. */
export function damagedCheckpoint(folder: string, problem: string): UserError {
  return new UserError(
    'runs/damaged',
    `The run cannot go on from its checkpoint: ${join(folder, STATE_FILE)} ${problem}.`,
    'Restore the file from a copy; without one, leave --resume out to start a new run.',
  );
}

function readState(folder: string): (SafetensorsFile & { readonly step: number }) | null {
  const path = join(folder, STATE_FILE);
  if (!existsSync(path)) return null;
  let header: SafetensorsFile;
  try {
    header = readSafetensorsHeader(path);
  } catch (error) {
    if (error instanceof UserError) throw damagedCheckpoint(folder, `is damaged: ${error.message}`);
    throw error;
  }
  const step = Number(header.metadata.step);
  if (!Number.isInteger(step) || step < 0)
    throw damagedCheckpoint(
      folder,
      `holds the step ${JSON.stringify(header.metadata.step)}; a whole number is expected`,
    );
  return { ...header, step };
}

/**
 * @returns null when the run was stopped before its first checkpoint.
 * @throws UserError `runs/damaged` where it does not hold what `expected` says.
 */
export function readCheckpoint(folder: string, expected: ExpectedCheckpoint): KeptCheckpoint | null {
  const kept = readState(folder);
  if (kept === null) return null;
  const { tensors, step, metadata } = kept;
  const problem = checkpointFault(step, tensors, expected);
  if (problem !== null) throw damagedCheckpoint(folder, problem);
  const numbers = (name: string): Float32Array | null => {
    const tensor = tensors.get(name);
    return tensor ? toFloat32(tensor) : null;
  };
  const state = (prefix: string): SeamState =>
    partialOf(LEARNED, (seam) => {
      const maps = expected.initial[seam]?.map((_, layer) => numbers(mapName(seam, layer, prefix)));
      return maps?.every((map) => map !== null) ? maps : null;
    });
  const moments = partialOf(LEARNED, (seam) => {
    const [m, v] = [numbers(MOMENT.m + SEAMS[seam].symbol), numbers(MOMENT.v + SEAMS[seam].symbol)];
    return m && v ? { m, v } : null;
  });
  const searched = state(SEARCHED);
  const memory = {
    moments: seamsIn(moments).length > 0 ? moments : null,
    searchedAt: seamsIn(searched).length > 0 ? searched : null,
  };
  return { step, state: state(''), memory, ...parseCheckpointMetadata(metadata) };
}

function mapTensors(state: SeamState, prefix = ''): Record<string, HostTensor> {
  const square = (matrix: Float32Array) =>
    float32([Math.sqrt(matrix.length), Math.sqrt(matrix.length)], matrix);
  return Object.fromEntries(
    seamsIn(state).flatMap((seam) =>
      (state[seam] ?? []).map((matrix, layer) => [mapName(seam, layer, prefix), square(matrix)] as const),
    ),
  );
}

function momentTensors(seam: SeamName, moments: Moments | undefined): Record<string, HostTensor> {
  if (!moments) return {};
  const flat = (values: Float32Array) => float32([values.length], values);
  const { symbol } = SEAMS[seam];
  return { [MOMENT.m + symbol]: flat(moments.m), [MOMENT.v + symbol]: flat(moments.v) };
}
