/** The network of a writer, and the job that makes it. */
import { tmpdir } from 'node:os';
import type { JobKind, RunEvent } from '../../protocol/events.ts';
import type { WritingNetwork } from '../generate/decoder.ts';
import { FULL_PRECISION } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import type { HeadBits } from '../network/network-ends.ts';
import type { NetworkQuantizers } from '../network/network-quantizers.ts';
import type { Products } from '../network/packed-weights.ts';
import { contextLength } from '../onnx-export/rotary-tables.ts';
import type { DeviceKind, RuntimeDevice } from '../runtime/types.ts';
import type { Executor } from './execute.ts';
import { planQuantized } from './experiment-plan.ts';
import type { JobSetting } from './job.ts';
import { keptNetwork } from './kept-network.ts';
import { deployedProducts, ownQuantizers, plainNetwork } from './networks.ts';
import type { OpenedWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { Places } from './places.ts';
import { quantizedNetwork } from './steps/measures.ts';
import { expectStockRun, openForPhase, stockLabel, writeForDevice } from './stock-run.ts';
import { labelOf, type Workbench } from './workbench.ts';

/** A job that keeps nothing but packed weights, and takes what the writer's run has. */
export function writerSetting(
  job: JobKind,
  { experiment, run }: OpenedWriter,
  options: EngineOptions,
): JobSetting {
  const runs = run ? experiment.runs : tmpdir();
  const places = new Places(null, run ? [run.dir] : [], runs, undefined, undefined, run?.dir);
  return { job, experiment, options, places, run: run?.dir ?? null };
}

/** What a writer's network is, before it is made. */
export interface WritingForm {
  /** The setting that is computed, such as `W4A4KV4`. */
  readonly bits: string;
  /** Quantizers of keys and values as they are kept. */
  readonly cache: NetworkQuantizers;
  /** Positions that the network has. */
  readonly positions: number;
}

/**
 * Says what is computed, before it is begun; on a GPU also what is done otherwise than in the run.
 * @throws UserError `export/…`, `device/unavailable`.
 */
export async function* formOf(
  { stockOn }: OpenedWriter,
  bench: Workbench,
): AsyncGenerator<RunEvent, WritingForm> {
  const { config } = bench.checkpoint;
  if (stockOn === null)
    return { bits: labelOf(bench), cache: ownQuantizers(bench), positions: config.maxPositions };
  yield* expectStockRun(stockOn, bench);
  return {
    bits: stockLabel(bench.experiment),
    cache: { quantizers: FULL_PRECISION },
    positions: contextLength(config),
  };
}

/** A network that is ready to write. */
export interface ReadyNetwork {
  readonly network: WritingNetwork;
  /** Bytes of all weights, in the forms in which they are read. */
  readonly weightBytes: number;
  /** See `Network.products`; null on a GPU. */
  readonly products: Products | null;
  readonly device: RuntimeDevice;
}

/** How a network writes. */
export interface WritingOptions {
  /** True where quantization is simulated in float32, else products are of whole numbers where they can be. */
  readonly simulated: boolean;
  /** Bits of the output layer: 16 leaves it as it is stored. */
  readonly headBits: HeadBits;
}

/** As `generate` writes without options. */
export const AS_DEPLOYED: WritingOptions = { simulated: false, headBits: 16 };

/** Makes the network that writes, of a model the plain one, and closes it when the work ends. */
export async function* withNetwork<T, Event>(
  opened: OpenedWriter,
  executor: Executor,
  { simulated, headBits }: WritingOptions,
  work: (ready: ReadyNetwork) => AsyncGenerator<RunEvent | Event, T>,
): AsyncGenerator<RunEvent | Event, T> {
  const { bench } = executor;
  const { stockOn } = opened;
  if (stockOn !== null) return yield* withStockNetwork(opened, { device: stockOn, headBits }, executor, work);
  const network = yield* networkOf(opened, bench, executor, simulated);
  network.setHeadBits(headBits);
  const { weightBytes, products } = network;
  return yield* work({ network, weightBytes, products, device: bench.runtime.device });
}

async function* withStockNetwork<T, Event>(
  opened: OpenedWriter,
  { device, headBits }: { readonly device: DeviceKind; readonly headBits: HeadBits },
  executor: Executor,
  work: (ready: ReadyNetwork) => AsyncGenerator<RunEvent | Event, T>,
): AsyncGenerator<RunEvent | Event, T> {
  const { bench } = executor;
  const merged = yield* mergedNetworkOf(opened, bench, executor, false);
  const file = yield* writeForDevice({ device, headBits }, merged, executor, 'network');
  const network = yield* openForPhase(device, file, bench);
  try {
    return yield* work({ network, weightBytes: file.bytes, products: null, device: network.device });
  } finally {
    await network.release();
  }
}

/** The network of a run or a model on the processor. @param simulated see {@link WritingOptions}. */
export async function* networkOf(
  opened: OpenedWriter,
  bench: Workbench,
  executor: Executor,
  simulated = false,
): AsyncGenerator<RunEvent, Network> {
  if (opened.isPlain) return plainNetwork(bench);
  return yield* mergedNetworkOf(opened, bench, executor, !simulated && multipliesIntegers(bench));
}

/** The merged network, with its weights trained, mapped and rounded; also of a model. */
export async function* mergedNetworkOf(
  opened: Pick<OpenedWriter, 'source' | 'run'>,
  bench: Workbench,
  executor: Executor,
  integer: boolean,
): AsyncGenerator<RunEvent, Network> {
  const form = { path: opened.source?.rotations ?? null, integer };
  const kept = yield* keptNetwork(opened, form, bench, executor);
  if (kept) return kept;
  const quantized = await planQuantized(bench.experiment, bench, form);
  const { maps, trained, weights, clips } = quantized;
  if (trained) yield* executor.execute(trained);
  yield* executor.execute(maps);
  if (clips) yield* executor.execute(clips);
  if (weights) yield* executor.execute(weights);
  return quantizedNetwork(executor, quantized);
}

/** A run with weights of 4 bits is deployed so, where our operators have kernels. */
function multipliesIntegers(bench: Workbench): boolean {
  return bench.cache.abilities.ownKernels && deployedProducts(bench).integer.length > 0;
}
