import { mkdir } from 'node:fs/promises';
import { LINEARS, type Linear } from '../../../protocol/block.ts';
import { type RoundingError, type RunEvent, timed } from '../../../protocol/events.ts';
import { partialOf } from '../../../protocol/records.ts';
import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import { READING_STAGES, rowWidth, STAGES, type StageName } from '../../calibration/stages.ts';
import { CalibrationStream } from '../../calibration/stream.ts';
import type { HostTensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { LearnedLayer } from '../../network/learned-grids.ts';
import type { Network } from '../../network/network.ts';
import {
  multiples,
  preparedTensors,
  type RoundedLayer,
  type RoundedMatrix,
} from '../../network/rounded-weights.ts';
import { SecondMoment } from '../gptq/layer-rounder.ts';
import { ERRORS } from '../mapped-weight.ts';
import type { RoundedLayers } from '../rounded-layers.ts';
import { CLIPPED_WEIGHT } from './programs.ts';

export interface ClippedTask {
  /** Name of the method that learned the grids. */
  readonly method: string;
  /** Merged, its maps set, activations as they are; its weight quantizer gives bits and grids. */
  readonly network: Network;
  /** Token blocks of one length, on which errors are told. */
  readonly blocks: readonly Int32Array[];
  /** Factors of the ends of every layer's grids. */
  readonly clips: readonly LearnedLayer['clips'][];
  readonly layers: RoundedLayers;
}

/**
 * Puts every weight on its clipped grid and tells what that costs on the calibration text, layer by layer: each is
 * measured on what the layers rounded before hand on. Layers that are kept are passed through only.
 */
export async function* roundClipped(
  cache: ProgramCache,
  task: ClippedTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const { network, blocks, layers, method } = task;
  await mkdir(layers.folder, { recursive: true });
  const stream = await CalibrationStream.open(cache, network, blocks, layers.folder);
  try {
    await stream.embed(signal);
    for (let layer = 0; layer < network.layers; layer++) {
      const began = performance.now();
      const prepared: HostTensors = {};
      const add = (linear: Linear, matrix: RoundedMatrix) =>
        Object.assign(prepared, preparedTensors(linear, matrix, network.weightCodes));
      const pass = (stage: StageName, moment: SecondMoment | null) =>
        throughStage(stream, { stage, layer, prepared, moment }, signal);
      const known = layers.record(layer);
      const done = { type: 'rounding', layer, layers: network.layers } as const;
      if (known) {
        const weights = layers.read(layer);
        for (const linear of LINEARS) add(linear, weights[linear]);
        for (const stage of ['output', 'mlp', 'end'] as const) await pass(stage, null);
        yield timed({ ...done, ...known });
        continue;
      }
      const errors: RoundingError[] = [];
      const weights: Partial<Record<Linear, RoundedMatrix>> = {};
      for (const stage of READING_STAGES) {
        const moment = new SecondMoment(cache, rowWidth(stage, network.checkpoint.config));
        await pass(stage, moment);
        for (const linear of STAGES[stage].linears) {
          const { matrix, error } = await roundLinear(cache, task, { layer, linear, moment }, signal);
          add(linear, matrix);
          weights[linear] = matrix;
          errors.push(error);
        }
      }
      const record = { method, errors, seconds: (performance.now() - began) / 1000 };
      await layers.write(layer, partialOf(LINEARS, (linear) => weights[linear]) as RoundedLayer, record);
      yield timed({ ...done, ...record });
      // Nothing reads what the last layer gives.
      if (layer + 1 < network.layers) await pass('end', null);
    }
  } finally {
    await stream.close();
  }
}

interface StagePass {
  readonly stage: StageName;
  readonly layer: number;
  readonly prepared: HostTensors;
  /** Takes the second moments of what the stage's weights read. */
  readonly moment: SecondMoment | null;
}

async function throughStage(
  stream: CalibrationStream,
  { stage, layer, prepared, moment }: StagePass,
  signal?: AbortSignal,
): Promise<void> {
  const see = moment && ((rows: HostTensor<Float32Array>) => moment.add(rows, signal));
  for await (const _ of stream.pass(stage, layer, prepared, see, signal));
}

interface LinearPlace {
  readonly layer: number;
  readonly linear: Linear;
  readonly moment: SecondMoment;
}

async function roundLinear(
  cache: ProgramCache,
  { network, clips }: ClippedTask,
  { layer, linear, moment }: LinearPlace,
  signal?: AbortSignal,
): Promise<{ matrix: RoundedMatrix; error: RoundingError }> {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: 1 });
  const program = await cache.get(CLIPPED_WEIGHT, { linear, shape, types });
  const factors = clips[layer]?.[linear];
  if (!factors) throw new Error(`no grids were learned for layer ${layer}`);
  const [rows = 0, columns = 0] = types[linear]?.dims ?? [];
  const dims = [rows, factors.upper.length / rows];
  const ends = { upper: float32(dims, factors.upper), lower: float32(dims, factors.lower) };
  const out = await program.run({ ...tensors, ...network.maps(layer), ...ends }, signal);
  const { codes, scale, zero } = out;
  const matrix = { rows, columns, codes: codes.data, scale: scale.data, zero: zero.data };
  const measuring = await cache.get(ERRORS, { rows, columns });
  const rounded = float32([rows, columns], multiples(matrix));
  const energies = await measuring.run({ ...out, rounded, moment: moment.sum }, signal);
  const [all, byNearest, byMethod] = [energies.all, energies.byNearest, energies.byMethod].map(({ data }) =>
    data.reduce((sum, value) => sum + value, 0),
  ) as [number, number, number];
  const share = (part: number): number => (all > 0 ? part / all : 0);
  return { matrix, error: { linear, error: share(byMethod), nearest: share(byNearest) } };
}
