/** An exported ONNX folder in onnxruntime-node, as it comes from npm. */
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { StockReport } from '../../src/engine/onnx-export/write-folder.ts';

type Feeds = Record<string, ort.Tensor>;

/** Logits of texts, read whole or in parts. */
export class StockSession {
  readonly #session: ort.InferenceSession;
  readonly #config: ModelConfig;

  private constructor(session: ort.InferenceSession, config: ModelConfig) {
    this.#session = session;
    this.#config = config;
  }

  static async open(folder: string, config: ModelConfig, threads = 1): Promise<StockSession> {
    const options = { executionProviders: ['cpu'], intraOpNumThreads: threads };
    return new StockSession(await ort.InferenceSession.create(join(folder, 'model.onnx'), options), config);
  }

  get inputNames(): readonly string[] {
    return this.#session.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.#session.outputNames;
  }

  /** Logits [S, V] of a text that is read in chunks, each with the keys and values of those before it. */
  async logits(ids: Int32Array, chunks: readonly number[] = [ids.length]): Promise<Float32Array> {
    const { vocabSize } = this.#config;
    const logits = new Float32Array(ids.length * vocabSize);
    let past = this.#nothing();
    let start = 0;
    for (const count of chunks) {
      const end = start + count;
      const results = await this.#session.run({
        ...past,
        input_ids: int64(ids.subarray(start, end)),
        attention_mask: int64(new Int32Array(end).fill(1)),
      });
      logits.set(results.logits!.data as Float32Array, start * vocabSize);
      past = Object.fromEntries(
        this.#pastNames.map((name) => [name, results[name.replace('past_key_values', 'present')]!]),
      );
      start = end;
    }
    return logits;
  }

  /** Perplexity over windows, by the engine's definition: the exponential of the mean of their mean losses. */
  async perplexity(windows: readonly Int32Array[]): Promise<number> {
    let sum = 0;
    for (const ids of windows) sum += meanLoss(await this.logits(ids), ids);
    return Math.exp(sum / windows.length);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  get #pastNames(): string[] {
    return this.#session.inputNames.filter((name) => name.startsWith('past_key_values'));
  }

  #nothing(): Feeds {
    const { kvHeads, headDim } = this.#config;
    const empty = () => new ort.Tensor('float32', new Float32Array(), [1, kvHeads, 0, headDim]);
    return Object.fromEntries(this.#pastNames.map((name) => [name, empty()]));
  }
}

/** Mean negative log-likelihood of the tokens after the first. */
function meanLoss(logits: Float32Array, ids: Int32Array): number {
  const width = logits.length / ids.length;
  let sum = 0;
  for (let row = 0; row + 1 < ids.length; row++) {
    const scores = logits.subarray(row * width, (row + 1) * width);
    const highest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
    const total = scores.reduce((all, score) => all + Math.exp(score - highest), 0);
    sum += highest + Math.log(total) - scores[ids[row + 1]!]!;
  }
  return sum / (ids.length - 1);
}

function int64(ids: Int32Array): ort.Tensor {
  return new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]);
}

export type { StockReport };
