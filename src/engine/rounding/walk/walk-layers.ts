import { mkdir } from 'node:fs/promises';
import { LINEARS, type Linear } from '../../../protocol/block.ts';
import { type RoundingError, type RunEvent, timed } from '../../../protocol/events.ts';
import { SecondMoment } from '../../calibration/second-moment.ts';
import { READING_STAGES, rowWidth, STAGE_NAMES, STAGES, type StageName } from '../../calibration/stages.ts';
import { shareOf } from '../../distributed/ranks.ts';
import type { HostTensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { isCodes } from '../../network/packed-weights.ts';
import { preparedTensors, type RoundedLayer, type RoundedMatrix } from '../../network/rounded-weights.ts';
import { writtenSeams } from '../../network/seams.ts';
import type { RoundedLayers } from '../rounded-layers.ts';
import { removeTornFiles } from '../torn-files.ts';
import { PairedStream } from './paired-stream.ts';

/** Progress is reported so often. */
const INTERVAL_MS = 500;
/** Passing through a layer that was rounded before, in units of rounding one. */
const PASSING = 0.5;

/** A linear layer with its rounded weight, and what rounding it cost. */
export interface RoundedLinear {
  readonly linear: Linear;
  readonly matrix: RoundedMatrix;
  readonly error: RoundingError;
  /** Bits that the weight takes, all that decodes it included; absent where grids say it. */
  readonly storedBits?: number;
}

/** What a method does at each stage of the walk: it rounds the linear layers that read the same rows. */
export interface MatrixRounder {
  /** Yields warnings, too. @param seen of what the layers read; its spare memory may be used. */
  round(
    layer: number,
    linears: readonly Linear[],
    seen: SecondMoment,
    signal?: AbortSignal,
  ): AsyncGenerator<RoundedLinear | RunEvent, void>;
}

export interface WalkTask {
  /** Merged, its rotations set, as weights are to be rounded for it; its weight quantizer gives bits and grids. */
  readonly network: Network;
  /** The same network at full precision, where the rounder looks at how far what is read drifts from it. */
  readonly exact?: Network;
  /** True where it looks at the drift of the residual, too. */
  readonly seesResidual?: boolean;
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  /** Name of the method in events and records. */
  readonly method: string;
  readonly rounder: MatrixRounder;
  /** Folder of the rounded layers, also of those that an interrupted call left. */
  readonly layers: RoundedLayers;
}

/**
 * Rounds the whole network as GPTQ's reference implementation walks it: layer by layer, in four groups {q, k, v}, {o},
 * {gate, up}, {down}, each rounded on inputs that the weights rounded before gave. Activations and KV cache stay as they
 * are. Layers that are rounded already are passed through only. Each rank takes its part of the text through the network
 * and rounds on what all of them saw.
 */
export async function* walkLayers(
  cache: ProgramCache,
  task: WalkTask,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  const { network, exact, blocks, layers } = task;
  const count = network.layers;
  const records = Array.from({ length: count }, (_, layer) => layers.record(layer));
  const fresh = records.indexOf(null);
  for (const [layer, record] of records.slice(0, fresh < 0 ? count : fresh).entries()) {
    yield timed({ type: 'rounding', layer, layers: count, ...record! });
  }
  if (fresh < 0) return;
  await mkdir(layers.folder, { recursive: true });
  await removeTornFiles(layers.folder);
  const own = shareOf(blocks, network.ranks);
  const stream = await PairedStream.open(
    cache,
    { network, exact: exact ?? null, blocks: own },
    layers.folder,
  );
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

/** One layer: its rounded weights so far, and the stages before and after each of them. */
class LayerWalk {
  readonly #cache: ProgramCache;
  readonly #task: WalkTask;
  readonly #stream: PairedStream;
  readonly #layer: number;
  /** The first layer that was not rounded before. */
  readonly #fresh: number;
  readonly #signal: AbortSignal | undefined;
  readonly #prepared: HostTensors = {};
  #lastSaid = performance.now();

  constructor(
    cache: ProgramCache,
    task: WalkTask,
    stream: PairedStream,
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
    const { network, exact, layers, method, rounder } = this.#task;
    const began = performance.now();
    const weights: Partial<Record<Linear, RoundedMatrix>> = {};
    const errors: RoundingError[] = [];
    let stored = 0;
    for (const stage of READING_STAGES) {
      const { linears } = STAGES[stage];
      const { config } = network.checkpoint;
      const moment = new SecondMoment(this.#cache, rowWidth(stage, config), {
        rows: exact !== undefined,
        residual: this.#task.seesResidual && linears.some(writesResidual) ? config.hiddenSize : null,
      });
      yield* this.#pass(stage, moment);
      await moment.sumOver(network.ranks);
      for await (const found of rounder.round(this.#layer, linears, moment, this.#signal)) {
        if ('type' in found) {
          yield found;
          continue;
        }
        const { linear, matrix, error, storedBits } = found;
        this.#add(linear, matrix);
        weights[linear] = matrix;
        errors.push(error);
        stored += storedBits ?? 0;
      }
    }
    const rounded = weights as RoundedLayer;
    const bitsPerWeight = stored / LINEARS.reduce((sum, name) => sum + sizeOf(rounded[name]), 0);
    const seconds = (performance.now() - began) / 1000;
    const record = { method, errors, seconds, ...(stored > 0 && { bitsPerWeight }) };
    await layers.write(this.#layer, rounded, record);
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
    const { network } = this.#task;
    const form = { weightForm: network.weightForm, quantizers: network.quantizers(this.#layer) };
    Object.assign(this.#prepared, preparedTensors(linear, matrix, isCodes(linear, form)));
  }

  async *#pass(stage: StageName, moment: SecondMoment | null): AsyncGenerator<RunEvent, void> {
    const before = STAGE_NAMES.indexOf(stage);
    for await (const share of this.#stream.pass(stage, this.#layer, this.#prepared, moment, this.#signal)) {
      if (performance.now() - this.#lastSaid < INTERVAL_MS) continue;
      this.#lastSaid = performance.now();
      yield this.#progress((before + share) / STAGE_NAMES.length);
    }
  }

  #progress(ofLayer: number): RunEvent {
    const { method, network } = this.#task;
    const { layers } = network;
    const work = (layer: number): number => layer - (1 - PASSING) * Math.min(layer, this.#fresh);
    const ofThis = (this.#layer < this.#fresh ? PASSING : 1) * ofLayer;
    const done = (work(this.#layer) + ofThis) / work(layers);
    return timed({ type: 'rounding-progress', method, layersDone: this.#layer, layers, done });
  }
}

const writesResidual = (linear: Linear): boolean => writtenSeams(linear).includes('residual');

const sizeOf = ({ rows, columns }: RoundedMatrix): number => rows * columns;
