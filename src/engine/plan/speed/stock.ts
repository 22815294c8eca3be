/** A run or model in stock operators of ONNX Runtime, for as long as it is measured. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writing } from '../../../disk/faults.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { LeftOut } from '../../../protocol/speed.ts';
import { DATA_FILE } from '../../onnx-export/write-model.ts';
import { ReadingContender } from '../../speed/contender.ts';
import { longestText } from '../../speed/measure.ts';
import { type ExportModelResult, exportModel } from '../export-model.ts';
import type { EngineOptions } from '../options.ts';
import type { Writer } from '../writer.ts';
import { type Entrant, randomIds, type SpeedPlace } from './place.ts';

/** A folder that was exported, and how to remove it. */
export interface StockFolder {
  readonly exported: ExportModelResult;
  remove(): Promise<void>;
}

/** Exports into a temporary folder. @returns null where stock operators cannot express it, which `left` then says. */
export async function* exportForSpeed(
  from: Writer,
  options: EngineOptions,
  left: LeftOut[],
): AsyncGenerator<RunEvent, StockFolder | null> {
  const parent = await writing(tmpdir(), () => mkdtemp(join(tmpdir(), 'spinquant-bench-')));
  const remove = () => rm(parent, { recursive: true, force: true });
  const model = { format: 'onnx', target: 'stock', embeddings: 16, head: 16, check: false } as const;
  const request = { from, ...model, out: join(parent, 'model') };
  let isWhole = false;
  try {
    const exported = yield* exportModel(request, options);
    isWhole = true;
    return { exported, remove };
  } catch (error) {
    const isLimit = error instanceof UserError && /^(export|file)\//.test(error.code);
    if (!isLimit) throw error;
    left.push({ name: 'onnx', reason: error.message });
    return null;
  } finally {
    if (!isWhole) await remove();
  }
}

export async function stockEntrant(place: SpeedPlace, { exported }: StockFolder): Promise<Entrant> {
  const { config } = place.bench.checkpoint;
  const { StockReader } = await import('../../speed/stock-reader.ts');
  const ids = randomIds(place);
  const began = performance.now();
  const size = { threads: place.threads, capacity: longestText(place.sizes) };
  const reader = await StockReader.open(exported.folder, config, size);
  await reader.next(ids.subarray(0, 1));
  const firstTokenSeconds = (performance.now() - began) / 1000;
  const { layers, kvHeads, headDim } = config;
  return {
    contender: new ReadingContender('onnx', reader, ids, place.sizes),
    facts: {
      title: `stock ONNX, ${exported.bits} as far as it can, in onnxruntime-node`,
      weightBytes: exported.files[DATA_FILE] ?? 0,
      cacheBytesPerToken: 2 * Float32Array.BYTES_PER_ELEMENT * layers * kvHeads * headDim,
      cacheOf16Bits: 2,
      readBytesPerToken: null,
      firstTokenSeconds,
    },
    close: () => reader.release(),
  };
}
