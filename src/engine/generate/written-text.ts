/** Text that the full-precision network writes itself, kept in files as far as it is written. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor } from '../../formats/tensor-io.ts';
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import { concatenate } from '../calibration/tokens.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Network } from '../network/network.ts';
import { type WritingOptions, writeSequences } from './write-sequences.ts';

/** Sequences that are written side by side: enough for full speed of the products. */
export const SIDE_BY_SIDE = 64;

export interface WritingTask extends WritingOptions {
  /** Blocks of `sequenceLength` tokens that are wanted. */
  readonly samples: number;
  /** Folder of the parts, also of those that an interrupted call left. */
  readonly folder: string;
  /** Parts that were written under another key are not taken. */
  readonly key: string;
  /** Called before a file is written; throws where nothing may be. */
  readonly check: () => void;
}

/**
 * Lets the network write until there are enough tokens, and cuts them into blocks. Sequences that end early are joined.
 * @returns yields the number of blocks that are full.
 */
export async function* writeText(
  cache: ProgramCache,
  network: Network,
  task: WritingTask,
  signal?: AbortSignal,
): AsyncGenerator<number, Int32Array[]> {
  const { samples, sequenceLength, folder, key } = task;
  await writing(folder, () => mkdir(folder, { recursive: true }));
  const wanted = samples * sequenceLength;
  const count = Math.min(SIDE_BY_SIDE, samples);
  const parts: Int32Array[] = [];
  for (let tokens = 0; tokens < wanted; tokens += parts.at(-1)?.length ?? 0) {
    throwIfCancelled(signal);
    const path = join(folder, `part-${String(parts.length).padStart(4, '0')}.safetensors`);
    const kept = readPart(path, key, network.checkpoint.config.vocabSize);
    const range = { from: parts.length * count, count };
    const part = kept ?? (yield* writePart(cache, network, task, { range, before: tokens }, signal));
    if (!kept) {
      task.check();
      const ids = { kind: 'host', dtype: 'int32', dims: [part.length], data: part } as const;
      await writeSafetensors(path, { ids }, { key });
    }
    parts.push(part);
    yield fullBlocks(task, tokens + part.length);
  }
  return cutBlocks(concatenate(parts), samples, sequenceLength);
}

/** @returns yields the blocks that are full with the tokens so far. */
async function* writePart(
  cache: ProgramCache,
  network: Network,
  task: WritingTask,
  {
    range,
    before,
  }: { readonly range: { readonly from: number; readonly count: number }; readonly before: number },
  signal?: AbortSignal,
): AsyncGenerator<number, Int32Array> {
  const writing = writeSequences(cache, network, task, range, signal);
  for (let said = fullBlocks(task, before); ; ) {
    const next = await writing.next();
    if (next.done) return concatenate(next.value);
    const full = fullBlocks(task, before + next.value);
    if (full > said) yield full;
    said = full;
  }
}

function fullBlocks({ samples, sequenceLength }: WritingTask, tokens: number): number {
  return Math.min(samples, Math.floor(tokens / sequenceLength));
}

/** Null where there is no part of this key, or where it is damaged: it is written again. */
function readPart(path: string, key: string, vocabulary: number): Int32Array | null {
  if (!existsSync(path)) return null;
  try {
    const { tensors, metadata } = readSafetensorsHeader(path);
    const ids = tensors.get('ids');
    if (metadata.key !== key || ids?.dtype !== 'int32') return null;
    const { data } = readTensor(ids);
    const isSound =
      data instanceof Int32Array && data.length > 0 && data.every((id) => id >= 0 && id < vocabulary);
    return isSound ? data : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

function cutBlocks(ids: Int32Array, samples: number, length: number): Int32Array[] {
  return Array.from({ length: samples }, (_, index) => ids.slice(index * length, (index + 1) * length));
}
