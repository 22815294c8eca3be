import { mkdir } from 'node:fs/promises';
import { LINEARS, type Linear } from '../../../protocol/block.ts';
import { type RoundingError, type RunEvent, timed } from '../../../protocol/events.ts';
import { SecondMoment } from '../../calibration/second-moment.ts';
import { READING_STAGES, rowWidth, STAGE_NAMES, STAGES, type StageName } from '../../calibration/stages.ts';
import { CalibrationStream } from '../../calibration/stream.ts';
import type { HostTensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { preparedTensors, type RoundedLayer, type RoundedMatrix } from '../../network/rounded-weights.ts';
import type { RoundedLayers } from '../rounded-layers.ts';
import { removeTornFiles } from '../torn-files.ts';
import { LayerRounder, type OrderedFactor, type RoundingOptions } from './layer-rounder.ts';

/** Name of the method in events and records. */
const METHOD = 'gptq';
/** Progress is reported so often. */
const INTERVAL_MS = 500;
/** Passing through a layer that was rounded before, in units of rounding one. */
const PASSING = 0.5;

export interface RoundingTask {
  /** Merged, its rotations set, activations as they are; its weight quantizer gives bits and grids. */
  readonly network: Network;
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  readonly options: RoundingOptions;
  /** Folder of the rounded layers, also of those that an interrupted call left. */
  readonly layers: RoundedLayers;
}

/**
 * GPTQ over the whole network as the reference implementation walks it: layer by layer, in four groups {q, k, v}, {o},
 * {gate, up}, {down}, each rounded on inputs that the weights rounded before gave. Activations and KV cache stay as they
 * are. Layers that are rounded already are passed through only.
 */
export async function* roundWeights(
  cache: ProgramCache,
  task: RoundingTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const { network, blocks, layers } = task;
  const count = network.layers;
  const records = Array.from({ length: count }, (_, layer) => layers.record(layer));
  const fresh = records.indexOf(null);
  for (const [layer, record] of records.slice(0, fresh < 0 ? count : fresh).entries()) {
    yield timed({ type: 'rounding', layer, layers: count, ...record! });
  }
  if (fresh < 0) return;
  await mkdir(layers.folder, { recursive: true });
  await removeTornFiles(layers.folder);
  const stream = await CalibrationStream.open(cache, network, blocks, layers.folder);
  try {
    await stream.embed(signal);
    for (let layer = 0; layer < count; layer++) {
      const walk = new LayerWalk(cache, task, stream, { layer, fresh }, signal);
      yield* layer < fresh ? walk.passThrough(layers.read(layer)) : walk.round();
    }
  } finally {
    await stream.close();
  }
}

/** Says which dampings failed before the one that was used. */
function raisedDamping(
  layer: number,
  linears: readonly Linear[],
  { dampings, sound }: OrderedFactor,
): RunEvent {
  const [used = 0, ...failed] = dampings.toReversed();
  const tried = failed.reverse().map(String).join(', ');
  const end = sound
    ? `it is ${used} there`
    : `it failed with ${used}, too, and goes on with the least pivots`;
  return timed({
    type: 'warning',
    message: `Layer ${layer}: the second moments of what ${linears.join(', ')} read could not be factored with a damping of ${tried}; ${end}.`,
    hint: 'One input is far larger than the others: a rotation spreads it, and a larger gptq.damping applies to all layers.',
  });
}

/** One layer: its rounded weights so far, and the stages before and after each of them. */
class LayerWalk {
  readonly #cache: ProgramCache;
  readonly #task: RoundingTask;
  readonly #stream: CalibrationStream;
  readonly #layer: number;
  /** The first layer that was not rounded before. */
  readonly #fresh: number;
  readonly #signal: AbortSignal | undefined;
  readonly #prepared: HostTensors = {};
  #lastSaid = performance.now();

  constructor(
    cache: ProgramCache,
    task: RoundingTask,
    stream: CalibrationStream,
    { layer, fresh }: { readonly layer: number; readonly fresh: number },
    signal?: AbortSignal,
  ) {
    this.#cache = cache;
    this.#task = task;
    this.#stream = stream;
    this.#layer = layer;
    this.#fresh = fresh;
    this.#signal = signal;
  }

  async *round(): AsyncGenerator<RunEvent, void> {
    const { network, layers, options } = this.#task;
    const began = performance.now();
    const rounder = new LayerRounder(this.#cache, network, options);
    const weights: Partial<Record<Linear, RoundedMatrix>> = {};
    const errors: RoundingError[] = [];
    for (const stage of READING_STAGES) {
      const moment = new SecondMoment(this.#cache, rowWidth(stage, network.checkpoint.config));
      yield* this.#pass(stage, moment);
      const { linears } = STAGES[stage];
      const factor = await rounder.factor(this.#layer, linears, moment, this.#signal);
      if (factor.dampings.length > 1) yield raisedDamping(this.#layer, linears, factor);
      const rounded = rounder.round(this.#layer, linears, moment, factor, this.#signal);
      for await (const { linear, matrix, error } of rounded) {
        this.#add(linear, matrix);
        weights[linear] = matrix;
        errors.push(error);
      }
    }
    const record = { method: METHOD, errors, seconds: (performance.now() - began) / 1000 };
    await layers.write(this.#layer, weights as RoundedLayer, record);
    yield timed({ type: 'rounding', layer: this.#layer, layers: network.layers, ...record });
    // Nothing reads what the last layer gives.
    if (this.#layer + 1 < network.layers) yield* this.#pass('end', null);
  }

  /** Takes the text through a layer that was rounded before. */
  async *passThrough(weights: RoundedLayer): AsyncGenerator<RunEvent, void> {
    for (const linear of LINEARS) this.#add(linear, weights[linear]);
    for (const stage of ['output', 'mlp', 'end'] as const) yield* this.#pass(stage, null);
  }

  #add(linear: Linear, matrix: RoundedMatrix): void {
    Object.assign(this.#prepared, preparedTensors(linear, matrix, this.#task.network.weightCodes));
  }

  async *#pass(stage: StageName, moment: SecondMoment | null): AsyncGenerator<RunEvent, void> {
    const see = moment && ((rows: Parameters<SecondMoment['add']>[0]) => moment.add(rows, this.#signal));
    const before = STAGE_NAMES.indexOf(stage);
    for await (const share of this.#stream.pass(stage, this.#layer, this.#prepared, see, this.#signal)) {
      if (performance.now() - this.#lastSaid < INTERVAL_MS) continue;
      this.#lastSaid = performance.now();
      yield this.#progress((before + share) / STAGE_NAMES.length);
    }
  }

  #progress(ofLayer: number): RunEvent {
    const { layers } = this.#task.network;
    const work = (layer: number): number => layer - (1 - PASSING) * Math.min(layer, this.#fresh);
    const ofThis = (this.#layer < this.#fresh ? PASSING : 1) * ofLayer;
    const done = (work(this.#layer) + ofThis) / work(layers);
    return timed({ type: 'rounding-progress', method: METHOD, layersDone: this.#layer, layers, done });
  }
}
