/** Networks as ONNX models of stock operators: how GPUs run them, whose memory weights are sent to once. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bitsLabel, type Device, type ResolvedExperiment } from '../../config/index.ts';
import { writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import type { ExportTarget } from '../../protocol/export-formats.ts';
import { formatBytes } from '../../protocol/text.ts';
import type { Network } from '../network/network.ts';
import type { HeadBits } from '../network/network-ends.ts';
import { quantizersOf } from '../network/quantizers.ts';
import { activationsOf, expectExpressible, type TargetQuestion } from '../onnx-export/limits.ts';
import { StockNetwork } from '../onnx-export/stock-network.ts';
import { writeModel } from '../onnx-export/write-model.ts';
import { DEVICE_WORDS, type GpuKind } from '../runtime/device.ts';
import { expectGpu } from '../runtime/portable.ts';
import type { DeviceKind } from '../runtime/types.ts';
import type { Executor } from './execute.ts';
import { phase } from './phases.ts';
import type { Workbench } from './workbench.ts';

export const gpuOf = (device: Device): GpuKind | null =>
  device === 'webgpu' || device === 'cuda' ? device : null;

/** What decides whether a target has a place for a network: known before weights are rounded, which may take hours. */
export function targetQuestion(
  { checkpoint, experiment, rounding }: Workbench,
  target: ExportTarget,
): TargetQuestion {
  const { quantization, rotation } = experiment;
  const quantizers = quantizersOf(quantization, rotation, checkpoint.config);
  const dense = rounding?.round?.dense ?? false;
  return { target, checkpoint, ...quantizers, method: quantization.weights.method, dense };
}

/** The setting that stock operators compute in the place of an experiment's, such as `W4A8KV16`. */
export function stockLabel({ quantization }: Pick<ResolvedExperiment, 'quantization'>): string {
  const { weights, activations, keys, values } = quantization;
  const bits = activationsOf(weights.bits, activations.bits);
  return bitsLabel({
    weights,
    activations: { ...activations, bits },
    keys: { ...keys, bits: 16 },
    values: { ...values, bits: 16 },
  });
}

/**
 * Looks, before the work, whether the device and stock operators can do it, and says what they do otherwise.
 * @throws UserError `export/…`, `device/unavailable`.
 */
export async function* expectStockRun(device: DeviceKind, bench: Workbench): AsyncGenerator<RunEvent, void> {
  const { experiment, runtime } = bench;
  withAdvice(() => expectExpressible(targetQuestion(bench, 'stock')));
  if (device !== 'cpu') await expectGpu(device, runtime.threads);
  const messages = [...otherSetting(device, experiment), ...unroundedWidths(device, bench)];
  if (messages.length > 0) yield timed({ type: 'warning', message: messages.join(' '), hint: ELSEWHERE });
}

function otherSetting(device: DeviceKind, experiment: ResolvedExperiment): string[] {
  const [own, there] = [bitsLabel(experiment.quantization), stockLabel(experiment)];
  if (own === there) return [];
  return [
    `On ${DEVICE_WORDS[device]} this computes ${there} in the place of ${own}: ${reasonsOf(experiment).join(', and ')}. Compare its numbers with those of a ${there} run.`,
  ];
}

/** Products of so many columns, and multiples, have kernels of whole numbers in ONNX Runtime's WebGPU provider. */
const WEBGPU_COLUMNS = 128;

function unroundedWidths(device: DeviceKind, { experiment, checkpoint: { config } }: Workbench): string[] {
  const { weights, activations } = experiment.quantization;
  if (device !== 'webgpu' || activationsOf(weights.bits, activations.bits) === 16) return [];
  const { hiddenSize, heads, headDim, intermediateSize } = config;
  const widths = [...new Set([hiddenSize, heads * headDim, intermediateSize])];
  const others = widths.filter((width) => width % WEBGPU_COLUMNS !== 0);
  if (others.length === 0) return [];
  return [
    `WebGPU does not round the activations of products whose width is no multiple of ${WEBGPU_COLUMNS}, here ${others.join(', ')}.`,
  ];
}

const ELSEWHERE =
  'Compute on the processor (--device cpu), or simulate the quantization on the GPU, which is slow (generate --simulate, evaluate without --integer).';

function reasonsOf({ quantization }: ResolvedExperiment): string[] {
  const { weights, activations, keys, values } = quantization;
  const bits = activationsOf(weights.bits, activations.bits);
  const product =
    bits === 16
      ? 'weights of 16 bits have no product with rounded activations there'
      : `ONNX Runtime has no product with activations of ${activations.bits} bits, which are rounded to ${bits}`;
  return [
    ...(bits === activations.bits ? [] : [product]),
    ...(keys.bits < 16 || values.bits < 16 ? ['keys and values stay float32'] : []),
  ];
}

/** What an export cannot hold, a GPU cannot run; but a run can be computed elsewhere. */
function withAdvice(look: () => void): void {
  try {
    look();
  } catch (error) {
    if (error instanceof UserError)
      throw new UserError(error.code, error.message, `${ELSEWHERE} ${error.hint}`);
    throw error;
  }
}

/** A model that is written for one job. */
export interface StockFile {
  readonly folder: string;
  /** Bytes of its weights where it runs. */
  readonly bytes: number;
}

/** Writes a network as a model for one device, to a folder that is removed when the job ends. @param name of the network. */
export async function* writeForDevice(
  { device, headBits }: { readonly device: DeviceKind; readonly headBits: HeadBits },
  network: Network,
  { bench, places, signal }: Executor,
  name: string,
): AsyncGenerator<RunEvent, StockFile> {
  const folder = join(await places.scratch(), `onnx-${name}`);
  const content = {
    cache: bench.cache,
    network,
    tables: { embeddings: 16, head: headBits },
    target: 'stock',
    purpose: 'run',
  } as const;
  const write = async (): Promise<StockFile> => {
    await writing(folder, () => mkdir(folder));
    const { loadedBytes } = await writeModel(folder, content, signal);
    return { folder, bytes: loadedBytes };
  };
  return yield* phase('export', {}, write, `for ${DEVICE_WORDS[device]}`);
}

/** Opens a written model. It must be released. @throws UserError `device/…`. */
export function openOnDevice(
  device: DeviceKind,
  { folder }: StockFile,
  bench: Workbench,
): Promise<StockNetwork> {
  const { checkpoint, runtime } = bench;
  return StockNetwork.open(folder, checkpoint.config, { device, threads: runtime.threads });
}

/** The same, told as a phase of a job. */
export function openForPhase(
  device: DeviceKind,
  file: StockFile,
  bench: Workbench,
): AsyncGenerator<RunEvent, StockNetwork> {
  const detail = `weights of ${formatBytes(file.bytes)} to ${DEVICE_WORDS[device]}, where they stay`;
  return phase('prepare', {}, () => openOnDevice(device, file, bench), detail);
}
