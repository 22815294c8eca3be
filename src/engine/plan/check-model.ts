import type { ExportTarget } from '../../protocol/export-formats.ts';
import type { FolderCheck } from '../../protocol/export-plan.ts';
import { computedAs } from '../checkpoint-export/network-forms.ts';
import { computedInOnnx } from '../checkpoint-export/onnx-rows.ts';
import type { WindowReader } from '../evaluate/perplexity.ts';
import type { Network } from '../network/network.ts';
import { cacheRowsOf } from '../onnx-export/native-attention.ts';
import { NativeNetwork } from '../onnx-export/native-network.ts';
import { StockNetwork } from '../onnx-export/stock-network.ts';
import { perplexityOf, textOf } from './check-export.ts';
import { machineBytes } from './machine-bytes.ts';
import type { Workbench } from './workbench.ts';

/** Tensors as they lie in the file, beside tables that are widened and weights that are packed for their products. */
const LOADED_PER_STORED = 2;

interface WrittenFolder {
  readonly folder: string;
  readonly network: Network;
  readonly target: ExportTarget;
  /** Of its tensors. */
  readonly bytes: number;
}

/**
 * Reads an ONNX folder in ONNX Runtime, and measures it beside what it was made of.
 * @returns null without a text to measure on, where the machine lacks the memory for the model, and for a model of our
 *   operators where the engine runs without them.
 */
export async function checkModel(
  bench: Workbench,
  written: WrittenFolder,
  signal?: AbortSignal,
): Promise<FolderCheck | null> {
  const { network, target, bytes } = written;
  if (LOADED_PER_STORED * bytes > machineBytes()) return null;
  if (target === 'native' && !bench.cache.abilities.ownKernels) return null;
  const text = await textOf(bench, signal);
  if (text === null) return null;
  const { config } = network.checkpoint;
  const measure = (one: Network | WindowReader): Promise<number> => perplexityOf(one, text, signal);
  const own = await measure(network);
  // Our operators round as the run does.
  const there = (): Network => computedAs(bench.cache, network, computedInOnnx(target, config));
  return {
    text: text.name,
    tokens: text.windows.reduce((sum, { length }) => sum + length - 1, 0),
    network: own,
    there: target === 'native' ? own : await measure(there()),
    readBack: await opened(bench, written, measure),
    onnxRuntime: bench.runtime.ortVersion,
  };
}

async function opened<T>(
  { runtime }: Workbench,
  { folder, network, target }: WrittenFolder,
  work: (reader: WindowReader) => Promise<T>,
): Promise<T> {
  const { config } = network.checkpoint;
  const reader =
    target === 'native'
      ? new NativeNetwork(runtime, folder, config, cacheRowsOf(network))
      : await StockNetwork.open(folder, config, { device: 'cpu', threads: runtime.threads });
  try {
    return await work(reader);
  } finally {
    await reader.release();
  }
}
