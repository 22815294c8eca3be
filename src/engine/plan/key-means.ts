/** Means of keys that are taken out of them before they are quantized, where an experiment asks for that. */
import { existsSync } from 'node:fs';
import { type ResolvedExperiment, resolvedCells, takesKeyMeans } from '../../config/index.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { keyMeans } from '../calibration/key-means.ts';
import { withKeyMeans } from '../model/checkpoint.ts';
import { plainNetwork } from './networks.ts';
import { phase } from './phases.ts';
import type { Places } from './places.ts';
import { digestOf } from './step.ts';
import { calibrationBlocks, type Workbench } from './workbench.ts';

type KeyMeans = readonly HostTensor<Float32Array>[];

/** True where keys are quantized without their mean, in the experiment or in a cell of its table. */
export function readsKeyMeans(experiment: ResolvedExperiment): boolean {
  const cells = resolvedCells(experiment).map((cell) => cell.experiment);
  return [experiment, ...cells].some(({ quantization }) => takesKeyMeans(quantization));
}

/**
 * The bench with the means of keys beside the weights of its model, for all networks that are made of it: those that a
 * run has kept, else those of the calibration text.
 */
export async function* benchWithKeyMeans(
  bench: Workbench,
  places: Places,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, Workbench> {
  if (!readsKeyMeans(bench.experiment)) return bench;
  const { layers, kvHeads, headDim } = bench.checkpoint.config;
  const { text, samples, sequenceLength, bos } = bench.experiment.calibration;
  const key = digestOf({ model: await bench.checkpoint.hash(), text, samples, sequenceLength, bos });
  const own = places.own('keyMeans');
  const files = [...(own === null ? [] : [own]), ...places.others('keyMeans', key)];
  const sizes = { layers, width: kvHeads * headDim };
  const kept = files.map((path) => read(path, key, sizes)).find((means) => means !== null);
  const means = kept ?? (yield* phase('prepare', {}, () => averaged(bench, signal), 'means of the keys'));
  if (own !== null && !read(own, key, sizes)) {
    places.check();
    const tensors = means.map((mean, layer) => [String(layer), mean] as const);
    await writeSafetensors(own, Object.fromEntries(tensors), { key });
  }
  return {
    ...bench,
    checkpoint: withKeyMeans(bench.checkpoint, means),
    keyMeans: digestOf(
      'key-means',
      means.map(({ data }) => data),
    ),
  };
}

async function averaged(bench: Workbench, signal?: AbortSignal): Promise<KeyMeans> {
  return keyMeans(bench.cache, plainNetwork(bench), await calibrationBlocks(bench, signal), signal);
}

/** Null where the file is not there, or not of this key: the means are then taken again. */
function read(
  path: string,
  key: string,
  { layers, width }: { readonly layers: number; readonly width: number },
): KeyMeans | null {
  if (!existsSync(path)) return null;
  try {
    const { tensors, metadata } = readSafetensorsHeader(path);
    if (metadata.key !== key) return null;
    const means = Array.from({ length: layers }, (_, layer) => {
      const tensor = tensors.get(String(layer));
      const values = tensor ? toFloat32(readTensor(tensor)) : new Float32Array();
      return values.length === width && values.every(Number.isFinite) ? float32([1, width], values) : null;
    });
    return means.every((mean) => mean !== null) ? means : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
