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
import { type SeamState, seamsIn } from '../network/seams.ts';
import type { LearnerMemory } from '../transform/learning/learner.ts';
import type { Moments } from '../transform/learning/rotation-update.ts';

/** Everything that a run needs to go on: the rotations after so many steps. One file, replaced atomically. */
const STATE_FILE = 'state.safetensors';

export interface LearningCheckpoint {
  readonly step: number;
  readonly state: SeamState;
  readonly memory: LearnerMemory;
}

/** Groups of tensors beside the rotations themselves. */
const SEARCHED = 'searched.';
const MOMENT = { m: 'moment1.', v: 'moment2.' } as const;

/** Seams whose maps are learned, by the symbol that stands for them in files. */
const LEARNED = ['residual', 'value'] as const satisfies readonly SeamName[];

export async function writeCheckpoint(
  folder: string,
  { step, state, memory }: LearningCheckpoint,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { moments, searchedAt } = memory;
  const tensors = {
    ...mapTensors(state),
    ...(searchedAt && mapTensors(searchedAt, SEARCHED)),
    ...Object.assign({}, ...seamsIn(moments ?? {}).map((seam) => momentTensors(seam, moments?.[seam]))),
  };
  await writeSafetensors(join(folder, STATE_FILE), tensors, { step: String(step) });
}

/** The step of a checkpoint, without its tensors. @returns 0 where there is no checkpoint. */
export function checkpointStep(folder: string): number {
  return readState(folder)?.step ?? 0;
}

function readState(folder: string): (SafetensorsFile & { readonly step: number }) | null {
  const path = join(folder, STATE_FILE);
  if (!existsSync(path)) return null;
  const header = readSafetensorsHeader(path);
  const step = Number(header.metadata.step);
  if (!Number.isInteger(step) || step < 0) {
    throw new UserError(
      'runs/damaged',
      `${path} does not tell which step it holds.`,
      'Start the run again from its beginning.',
    );
  }
  return { ...header, step };
}

/** @returns null when the run was stopped before its first checkpoint. */
export function readCheckpoint(folder: string): LearningCheckpoint | null {
  const kept = readState(folder);
  if (kept === null) return null;
  const { tensors, step } = kept;
  const numbers = (name: string): Float32Array | null => {
    const tensor = tensors.get(name);
    return tensor ? toFloat32(tensor) : null;
  };
  const state = (prefix: string): SeamState =>
    partialOf(LEARNED, (seam) => {
      const whole = numbers(prefix + SEAMS[seam].symbol);
      const maps = whole ? [whole] : layersOf((layer) => numbers(nameOf(seam, layer, prefix)));
      return maps.length > 0 ? maps : null;
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
  return { step, state: state(''), memory };
}

/** Maps of layer 0, 1, … up to the first without. */
function layersOf(read: (layer: number) => Float32Array | null): Float32Array[] {
  const found: Float32Array[] = [];
  for (let map = read(0); map !== null; map = read(found.length)) found.push(map);
  return found;
}

/** `R1`, and `R2.3` for a map of one layer. */
function nameOf(seam: SeamName, layer: number, prefix: string): string {
  return `${prefix}${SEAMS[seam].symbol}.${layer}`;
}

function mapTensors(state: SeamState, prefix = ''): Record<string, HostTensor> {
  const square = (matrix: Float32Array) =>
    float32([Math.sqrt(matrix.length), Math.sqrt(matrix.length)], matrix);
  const named = (seam: SeamName, layer: number): string =>
    seam === 'residual' ? prefix + SEAMS[seam].symbol : nameOf(seam, layer, prefix);
  return Object.fromEntries(
    seamsIn(state).flatMap((seam) =>
      (state[seam] ?? []).map((matrix, layer) => [named(seam, layer), square(matrix)] as const),
    ),
  );
}

function momentTensors(seam: SeamName, moments: Moments | undefined): Record<string, HostTensor> {
  if (!moments) return {};
  const flat = (values: Float32Array) => float32([values.length], values);
  const { symbol } = SEAMS[seam];
  return { [MOMENT.m + symbol]: flat(moments.m), [MOMENT.v + symbol]: flat(moments.v) };
}
