/** Files of the results that experiments share. */
import { join } from 'node:path';
import { z } from 'zod';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { SEAM_NAMES } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf } from '../../protocol/records.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { readJson, writeJson } from '../../runs/index.ts';
import { type SeamState, seamsIn } from '../network/seams.ts';
import type { Keeping } from './step.ts';

/** A result that is plain data. */
export function jsonKeeping<T>(schema: z.ZodType<T>): Keeping<T> {
  return {
    async write(result, folder) {
      writeJson(fileIn(folder), result);
    },
    read: (folder) => readChecked(fileIn(folder), schema),
  };
}

const fileIn = (folder: string): string => join(folder, 'result.json');

async function readChecked<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const found = schema.safeParse(await readJson(path));
  if (found.success) return found.data;
  throw new UserError('runs/damaged', `${path} is not a result of this version.`, 'Delete its folder.');
}

export const NOTHING = jsonKeeping(z.null());

/** Blocks of token ids of one length. */
export const BLOCKS: Keeping<readonly Int32Array[]> = {
  async write(blocks, folder) {
    const tensors = blocks.map((data, index) => {
      const ids: HostTensor = { kind: 'host', dtype: 'int32', dims: [data.length], data };
      return [String(index), ids] as const;
    });
    await writeSafetensors(blocksIn(folder), Object.fromEntries(tensors));
  },
  async read(folder) {
    const { tensors } = readSafetensorsHeader(blocksIn(folder));
    return Array.from({ length: tensors.size }, (_, index) => {
      const tensor = tensors.get(String(index));
      const data = tensor && readTensor(tensor).data;
      if (data instanceof Int32Array) return data;
      throw new UserError('runs/damaged', `${blocksIn(folder)} has no block ${index}.`, 'Delete its folder.');
    });
  },
};

const blocksIn = (folder: string): string => join(folder, 'blocks.safetensors');

/** Numbers of maps: a tensor `<seam>.<index>` for each. */
export const MAPS: Keeping<SeamState> = {
  write: (state, folder) => writeMaps(state, folder, {}),
  read: async (folder) => (await readMaps(folder)).state,
};

/** Maps with plain data beside them. */
export function mapsKeeping<T extends { readonly state: SeamState }>(
  schema: z.ZodType<Omit<T, 'state'>>,
  join: (state: SeamState, rest: Omit<T, 'state'>) => T,
): Keeping<T> {
  return {
    write: ({ state, ...rest }, folder) => writeMaps(state, folder, { rest: JSON.stringify(rest) }),
    async read(folder) {
      const { state, metadata } = await readMaps(folder);
      return join(state, schema.parse(JSON.parse(metadata.rest ?? 'null')));
    },
  };
}

const mapsIn = (folder: string): string => join(folder, 'maps.safetensors');

async function writeMaps(
  state: SeamState,
  folder: string,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const tensors = seamsIn(state).flatMap((seam) =>
    (state[seam] ?? []).map(
      (numbers, index) => [`${seam}.${index}`, float32([numbers.length], numbers)] as const,
    ),
  );
  await writeSafetensors(mapsIn(folder), Object.fromEntries(tensors), metadata);
}

async function readMaps(folder: string): Promise<{
  readonly state: SeamState;
  readonly metadata: Readonly<Record<string, string>>;
}> {
  const { tensors, metadata } = readSafetensorsHeader(mapsIn(folder));
  const state = partialOf(SEAM_NAMES, (seam) => {
    const numbers: Float32Array[] = [];
    for (let index = 0; ; index++) {
      const tensor = tensors.get(`${seam}.${index}`);
      if (!tensor) break;
      numbers.push(toFloat32(readTensor(tensor)));
    }
    return numbers.length > 0 ? numbers : null;
  });
  return { state, metadata };
}
