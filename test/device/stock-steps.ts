/**
 * Run as a process of its own, whose environment names the Vulkan driver: a run, whose folder is the first argument, as an
 * ONNX model on WebGPU and on the processor. Prints JSON. Kernels take seconds to compile here: calls are few, and short.
 */
import { continueText } from '../../src/engine/generate/continue-text.ts';
import type { WritingNetwork } from '../../src/engine/generate/decoder.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import { longestCall } from '../../src/engine/onnx-export/attention-check.ts';
import { StockNetwork } from '../../src/engine/onnx-export/stock-network.ts';
import { runJob } from '../../src/engine/plan/job.ts';
import { openWriter } from '../../src/engine/plan/opened-writer.ts';
import { AS_DEPLOYED, formOf, withNetwork, writerSetting } from '../../src/engine/plan/writer-network.ts';
import type { RuntimeDevice } from '../../src/engine/runtime/index.ts';

/** A run on a device. */
export interface Written {
  readonly device: RuntimeDevice;
  readonly bits: string;
  readonly warnings: readonly string[];
  readonly ids: readonly number[];
  /** Logits of all tokens, one after the other. */
  readonly logits: readonly number[];
  /** Mean negative log-likelihood of a window. */
  readonly loss: number;
}

export interface StockSteps {
  readonly longestCall: number | 'any';
  readonly gpu: Written;
  readonly cpu: Written;
  /** On the processor, with activations as they are. */
  readonly unrounded: Written;
}

const PROMPT = Int32Array.of(1, 20, 33, 7, 50, 41);
const WINDOW = Int32Array.of(1, 20, 33, 7, 50, 41, 12);

async function stockSteps(run: string): Promise<StockSteps> {
  // Its heads have 16 channels.
  const longest = await longestCall('webgpu', 16, 1);
  return {
    longestCall: Number.isFinite(longest) ? longest : 'any',
    gpu: await writtenOn('webgpu', run, null),
    cpu: await writtenOn('cpu', run, null),
    unrounded: await writtenOn('cpu', run, 16),
  };
}

/** @param activations their bits; null for those of the run. */
async function writtenOn(device: 'webgpu' | 'cpu', run: string, activations: 16 | null): Promise<Written> {
  const found = await openWriter({ run }, { device, cacheBits: null });
  const { quantization } = found.experiment;
  const changed = {
    ...quantization,
    activations: { ...quantization.activations, ...(activations && { bits: 16 as const }) },
  };
  const opened = { ...found, experiment: { ...found.experiment, quantization: changed }, stockOn: device };
  const logits: number[] = [];
  const task = {
    prompt: PROMPT,
    tokens: 2,
    choice: MOST_LIKELY,
    seed: 0,
    stops: [],
    endTokens: new Set<number>(),
  };
  const see = (seen: Float32Array) => logits.push(...seen);
  const job = runJob(writerSetting('generate', opened, {}), async function* (bench, executor) {
    const { bits } = yield* formOf(opened, bench);
    const { decode } = bench.tokenizer;
    return yield* withNetwork(opened, executor, AS_DEPLOYED, async function* (ready) {
      const { ids } = yield* continueText(ready.network, decode, { ...task, see });
      return { bits, device: ready.device, ids, loss: await lossOf(ready.network) };
    });
  });
  const warnings: string[] = [];
  for (;;) {
    const next = await job.next();
    if (next.done) return { ...next.value, logits, warnings };
    if (next.value.type === 'warning') warnings.push(next.value.message);
  }
}

async function lossOf(network: WritingNetwork): Promise<number> {
  if (!(network instanceof StockNetwork)) throw new Error('no ONNX model');
  return (await network.meanLosses([WINDOW]))[0]!;
}

process.stdout.write(JSON.stringify(await stockSteps(process.argv[2]!)));
