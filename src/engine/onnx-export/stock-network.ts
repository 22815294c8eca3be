import { join } from 'node:path';
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor, int64 } from '../../protocol/tensor.ts';
import type { TokenReader } from '../generate/decoder.ts';
import { logPartition } from '../generate/token-choice.ts';
import type { ModelConfig } from '../model/config.ts';
import { type KeptValue, ModelSession } from '../runtime/model-session.ts';
import type { DeviceKind, RuntimeDevice } from '../runtime/types.ts';
import { longestCall } from './attention-check.ts';
import { pastName, presentName } from './stock-block.ts';
import { contextLength, MODEL_FILE } from './stock-model.ts';

/** Logits of one call: 64 MiB, which are copied from the device. */
const LOGITS_AT_ONCE = 2 ** 24;

export interface StockPlace {
  readonly device: DeviceKind;
  /** Threads of what runs on the processor. */
  readonly threads: number;
}

/**
 * A network as a stock ONNX model in one session of onnxruntime-node. Its weights stay on the device, and so do keys and
 * values between calls where ONNX Runtime allows it.
 */
export class StockNetwork {
  readonly #session: ModelSession;
  readonly #config: ModelConfig;

  /** Tokens of each sequence that a call may read. */
  readonly #callTokens: number;

  private constructor(session: ModelSession, config: ModelConfig, callTokens: number) {
    this.#session = session;
    this.#config = config;
    this.#callTokens = callTokens;
  }

  /**
   * @param folder of `model.onnx`.
   * @throws UserError `device/unavailable`, `device/model`, `device/wrong`.
   */
  static async open(folder: string, config: ModelConfig, place: StockPlace): Promise<StockNetwork> {
    const callTokens = await longestCall(place.device, config.headDim, place.threads);
    const kept = cachePairs(config).map(([, present]) => present);
    const session = await ModelSession.open(join(folder, MODEL_FILE), { ...place, kept });
    return new StockNetwork(session, config, callTokens);
  }

  get device(): RuntimeDevice {
    return this.#session.device;
  }

  /** Opens a reader of sequences of at most `capacity` tokens. @throws UserError `generate/context`. */
  reader(batch: number, capacity: number): TokenReader {
    this.#expectLength(capacity);
    return new StockReader(this.#session, this.#config, { batch, callTokens: this.#callTokens });
  }

  /** Each window is a call. */
  windowsAtOnce(): number {
    return 1;
  }

  /** See `WindowReader`; the last token of a window is only predicted. @throws UserError `generate/context`. */
  async meanLosses(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number[]> {
    const means: number[] = [];
    for (const ids of windows) {
      this.#expectLength(ids.length);
      means.push(await this.#meanLoss(ids, signal));
    }
    return means;
  }

  async #meanLoss(ids: Int32Array, signal?: AbortSignal): Promise<number> {
    const { vocabSize } = this.#config;
    const reader = new StockReader(this.#session, this.#config, { batch: 1, callTokens: this.#callTokens });
    let [sum, place] = [0, 1];
    try {
      for await (const logits of reader.logits(ids.subarray(0, -1), signal)) {
        for (let row = 0; row < logits.length; row += vocabSize, place++) {
          const scores = logits.subarray(row, row + vocabSize);
          sum += logPartition(scores) - scores[ids[place]!]!;
        }
      }
    } finally {
      reader.rewind();
    }
    return sum / (ids.length - 1);
  }

  /** The fault of a window whose loss is not finite. */
  async notFinite({ name }: { readonly name: string }, window: number): Promise<UserError> {
    return new UserError(
      'evaluation/not-finite',
      `The perplexity of "${name}" on ${this.device.kind} is not finite from window ${window + 1} on.`,
      'Evaluate without --integer: it says where the network overflows.',
    );
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #expectLength(tokens: number): void {
    const most = contextLength(this.#config);
    if (tokens <= most) return;
    throw new UserError(
      'generate/context',
      `The ONNX model has ${most} positions, and ${tokens} are needed.`,
      `Take texts of at most ${most} tokens, or compute on the processor (--device cpu).`,
    );
  }
}

/** Reads tokens of some sequences, all equally long, with what it keeps of those before. */
class StockReader implements TokenReader {
  readonly #session: ModelSession;
  readonly #config: ModelConfig;
  readonly #batch: number;
  readonly #callTokens: number;
  #past: Readonly<Record<string, HostTensor | KeptValue>>;
  #length = 0;

  constructor(
    session: ModelSession,
    config: ModelConfig,
    { batch, callTokens }: { readonly batch: number; readonly callTokens: number },
  ) {
    this.#session = session;
    this.#config = config;
    this.#batch = batch;
    const logits = Math.floor(LOGITS_AT_ONCE / (batch * config.vocabSize));
    this.#callTokens = Math.max(1, Math.min(callTokens, logits));
    this.#past = this.#nothing();
  }

  get length(): number {
    return this.#length;
  }

  rewind(): void {
    this.#replace(this.#nothing(), 0);
  }

  async next(ids: Int32Array, signal?: AbortSignal): Promise<HostTensor<Float32Array>> {
    const { vocabSize } = this.#config;
    const last = float32([this.#batch, vocabSize], new Float32Array(this.#batch * vocabSize));
    for await (const logits of this.logits(ids, signal)) {
      const width = logits.length / this.#batch;
      for (let sequence = 0; sequence < this.#batch; sequence++) {
        const end = (sequence + 1) * width;
        last.data.set(logits.subarray(end - vocabSize, end), sequence * vocabSize);
      }
    }
    return last;
  }

  /**
   * Reads the next tokens of each sequence, [B·n], in parts.
   * @returns yields logits [B, part, V].
   */
  async *logits(ids: Int32Array, signal?: AbortSignal): AsyncGenerator<Float32Array> {
    const n = ids.length / this.#batch;
    for (let from = 0; from < n; from += this.#callTokens) {
      const to = Math.min(n, from + this.#callTokens);
      yield await this.#read(columns(ids, this.#batch, from, to), signal);
    }
  }

  async #read(ids: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const batch = this.#batch;
    const length = this.#length + ids.length / batch;
    const inputs = { input_ids: tokens(ids, batch), attention_mask: ones(batch, length) };
    const { computed, kept } = await this.#session.run({ ...this.#past, ...inputs }, signal);
    const past = cachePairs(this.#config).map(([name, present]) => [name, kept[present]!]);
    this.#replace(Object.fromEntries(past), length);
    throwIfCancelled(signal);
    return computed.logits!;
  }

  #replace(past: Readonly<Record<string, HostTensor | KeptValue>>, length: number): void {
    for (const value of Object.values(this.#past)) if ('dispose' in value) value.dispose();
    this.#past = past;
    this.#length = length;
  }

  #nothing(): Record<string, HostTensor> {
    const { kvHeads, headDim } = this.#config;
    const empty = float32([this.#batch, kvHeads, 0, headDim], new Float32Array());
    return Object.fromEntries(cachePairs(this.#config).map(([name]) => [name, empty]));
  }
}

/** Names of keys and values as inputs, and as the outputs that these are next. */
function cachePairs({ layers }: ModelConfig): (readonly [past: string, present: string])[] {
  return Array.from({ length: layers }, (_, layer) =>
    (['key', 'value'] as const).map((what) => [pastName(layer, what), presentName(layer, what)] as const),
  ).flat();
}

/** Columns from … to − 1 of ids [batch, n]. */
function columns(ids: Int32Array, batch: number, from: number, to: number): Int32Array {
  const n = ids.length / batch;
  if (from === 0 && to === n) return ids;
  const rows = Array.from({ length: batch }, (_, row) => [...ids.subarray(row * n + from, row * n + to)]);
  return Int32Array.from(rows.flat());
}

const tokens = (ids: Int32Array, batch: number): HostTensor =>
  int64([batch, ids.length / batch], BigInt64Array.from(ids, BigInt));

const ones = (batch: number, length: number): HostTensor =>
  int64([batch, length], new BigInt64Array(batch * length).fill(1n));
