import { join } from 'node:path';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { SeekingReader } from '../generate/decoder.ts';
import type { ModelConfig } from '../model/config.ts';
import { pastName, presentName } from '../onnx-export/model-blocks.ts';
import { MODEL_FILE } from '../onnx-export/write-model.ts';

type OrtModule = typeof import('onnxruntime-node');

/**
 * An exported folder in onnxruntime-node, as it comes from npm. Keys and values stay where they are: those before and
 * those after a call are the same memory, which `GroupQueryAttention` then writes in place.
 */
export class StockReader implements SeekingReader {
  readonly #ort: OrtModule;
  readonly #session: InferenceSession;
  readonly #past: Readonly<Record<string, OrtTensor>>;
  readonly #present: Readonly<Record<string, OrtTensor>>;
  readonly #vocabulary: number;
  #length = 0;

  private constructor(ort: OrtModule, session: InferenceSession, config: ModelConfig, capacity: number) {
    this.#ort = ort;
    this.#session = session;
    this.#vocabulary = config.vocabSize;
    const { layers, kvHeads, headDim } = config;
    const dims = [1, kvHeads, capacity, headDim];
    const past: Record<string, OrtTensor> = {};
    const present: Record<string, OrtTensor> = {};
    for (let layer = 0; layer < layers; layer++)
      for (const what of ['key', 'value'] as const) {
        const tensor = new ort.Tensor('float32', new Float32Array(kvHeads * capacity * headDim), dims);
        past[pastName(layer, what)] = tensor;
        present[presentName(layer, what)] = tensor;
      }
    this.#past = past;
    this.#present = present;
  }

  /** @param capacity tokens of the longest text. */
  static async open(
    folder: string,
    config: ModelConfig,
    { threads, capacity }: { readonly threads: number; readonly capacity: number },
  ): Promise<StockReader> {
    const ort = await import('onnxruntime-node');
    const options = { executionProviders: ['cpu'], intraOpNumThreads: threads };
    const session = await ort.InferenceSession.create(join(folder, MODEL_FILE), options);
    return new StockReader(ort, session, config, capacity);
  }

  get length(): number {
    return this.#length;
  }

  rewind(): void {
    this.seek(0);
  }

  seek(length: number): void {
    this.#length = length;
  }

  async next(ids: Int32Array): Promise<HostTensor<Float32Array>> {
    const total = this.#length + ids.length;
    const logits = new Float32Array(ids.length * this.#vocabulary);
    const feeds = { ...this.#past, input_ids: this.#int64(ids), attention_mask: this.#ones(total) };
    const dims = [1, ids.length, this.#vocabulary];
    const fetches = { ...this.#present, logits: new this.#ort.Tensor('float32', logits, dims) };
    await this.#session.run(feeds, fetches);
    this.#length = total;
    return float32([1, this.#vocabulary], logits.subarray(-this.#vocabulary));
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #int64(ids: Int32Array): OrtTensor {
    return new this.#ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
  }

  #ones(count: number): OrtTensor {
    return new this.#ort.Tensor('int64', new BigInt64Array(count).fill(1n), [1, count]);
  }
}
