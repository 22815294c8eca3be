/** The experiment that makes the network of a writer. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Bits,
  type Device,
  experimentSchema,
  hasLearnedRotation,
  optionsOf,
  type ResolvedExperiment,
  resolvePortable,
  scalingOf,
  trainingOf,
  withKeyOffset,
} from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { openRun, type Run } from '../../runs/index.ts';
import type { DeviceKind } from '../runtime/types.ts';
import type { Methods } from './experiment-methods.ts';
import { measuredWith, type Source, sourceAt } from './source.ts';
import { gpuOf } from './stock-run.ts';
import type { Writer } from './writer.ts';

export interface OpenedWriter {
  readonly experiment: ResolvedExperiment;
  /** Null for a model. */
  readonly run: Run | null;
  /** Null where no rotations were learned. */
  readonly source: Source | null;
  /** True where the network is that of the checkpoint itself. */
  readonly isPlain: boolean;
  /** True where keys or values have other bits than those of the run. */
  readonly hasOtherCache: boolean;
  /**
   * The device that runs the network as an ONNX model of stock operators, which is made on the processor; null where the
   * engine's own programs compute.
   */
  readonly stockOn: DeviceKind | null;
}

export interface WriterOptions {
  /** It replaces the run's device. */
  readonly device?: Device | undefined;
  /** Bits of keys and values in the place of the run's; null leaves them. */
  readonly cacheBits: Bits | null;
  /** True where a GPU, too, is to compute the engine's own programs. False where absent. */
  readonly simulated?: boolean | undefined;
}

/** @throws UserError `generate/cache`, and those of reading a run and its rotations. */
export async function openWriter(from: Writer, options: WriterOptions): Promise<OpenedWriter> {
  const opened = await openOnDevice(from, options);
  const stockOn = options.simulated ? null : gpuOf(opened.experiment.device);
  if (stockOn === null) return { ...opened, stockOn };
  expectNumbersInCache(options.cacheBits);
  return { ...opened, experiment: { ...opened.experiment, device: 'cpu' }, stockOn };
}

async function openOnDevice(from: Writer, options: WriterOptions): Promise<Omit<OpenedWriter, 'stockOn'>> {
  if ('model' in from) {
    const experiment = changed(fullPrecision(from.model, options.cacheBits ?? 16), options);
    const isPlain = experiment.quantization.keys.bits === 16;
    return { experiment, run: null, source: null, isPlain, hasOtherCache: false };
  }
  const run = await openRun(from.run);
  const own = await run.readExperiment();
  const source = hasLearnedRotation(own.rotation) ? await sourceAt(own, run.dir) : null;
  const measured = measuredWith(own, source);
  const experiment = changed(
    options.cacheBits === null ? measured : await asChosenIn(run, measured),
    options,
  );
  return { experiment, run, source, isPlain: false, hasOtherCache: cacheOf(own) !== cacheOf(experiment) };
}

/** Keys of other bits are quantized without what the run's own are, which its text decided. */
async function asChosenIn(run: Run, experiment: ResolvedExperiment): Promise<ResolvedExperiment> {
  if (experiment.quantization.keys.offset !== 'auto') return experiment;
  const choice = (await run.readResults().catch(() => null))?.keyOffset;
  return choice ? withKeyOffset(experiment, choice.taken === 'mean' ? 'mean' : 'bias') : experiment;
}

/** @throws UserError `generate/cache`: stock operators keep keys and values in float32. */
function expectNumbersInCache(bits: Bits | null): void {
  if (bits === null || bits === 16) return;
  throw new UserError(
    'generate/cache',
    `Keys and values are rounded to ${bits} bits on the processor only; on a GPU they stay float32.`,
    'Leave --cache out, or compute on the processor (--device cpu).',
  );
}

/** A model is used as an experiment that leaves all as it is, but for keys and values where they are to be rounded. */
function fullPrecision(model: string, cacheBits: Bits): ResolvedExperiment {
  const sixteen = { bits: 16 };
  const experiment = experimentSchema.parse({
    model,
    quantization: { weights: sixteen, activations: sixteen, keys: sixteen, values: sixteen },
    rotation: { r1: 'none', r2: 'none', r3: cacheBits < 16, r4: false },
  });
  return resolvePortable(experiment, join(tmpdir(), 'model.spinquant.json'));
}

const cacheOf = ({ quantization: { keys, values } }: ResolvedExperiment): string =>
  `${keys.bits} ${values.bits}`;

function changed(experiment: ResolvedExperiment, { device, cacheBits }: WriterOptions): ResolvedExperiment {
  const { keys, values } = experiment.quantization;
  const cache = cacheBits !== null && {
    keys: { ...keys, bits: cacheBits },
    values: { ...values, bits: cacheBits },
  };
  const quantization = { ...experiment.quantization, ...cache };
  return { ...experiment, quantization, ...(device && { device }) };
}

/**
 * Weights that were trained, scaled or put on grids for the bits of a cache would have to be made again for others.
 * @throws UserError `generate/cache`.
 */
export function expectSameCache({ experiment, hasOtherCache }: OpenedWriter, methods: Methods): void {
  const method = hasOtherCache ? methodOfCache(experiment, methods) : null;
  if (method === null) return;
  throw new UserError(
    'generate/cache',
    `The method ${method} of this run made its numbers for the run's own bits of keys and values.`,
    'Leave --cache out, or make a run with these bits.',
  );
}

/** A method whose numbers depend on the bits of keys and values; null where there is none. */
function methodOfCache(experiment: ResolvedExperiment, { scaling, rounding }: Methods): string | null {
  const training = trainingOf(experiment);
  if (training) return training.name;
  const scales = scalingOf(experiment);
  if (scales && scaling?.readsQuantizers?.(optionsOf(experiment.scaling, scales.name))) return scales.name;
  return rounding?.learns ? experiment.quantization.weights.method : null;
}
