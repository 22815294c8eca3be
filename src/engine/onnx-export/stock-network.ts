import { join } from 'node:path';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor, int64 } from '../../protocol/tensor.ts';
import type { TokenReader } from '../generate/decoder.ts';
import { lossSum } from '../generate/token-choice.ts';
import type { ModelConfig } from '../model/config.ts';
import { type KeptValue, ModelSession } from '../runtime/model-session.ts';
import type { DeviceKind, RuntimeDevice } from '../runtime/types.ts';
import { longestCall } from './attention-check.ts';
import { pastName, presentName } from './model-blocks.ts';
import { contextLength } from './rotary-tables.ts';
import { MODEL_FILE } from './write-model.ts';

/** Logits of one call: 64 MiB, which are copied from the device. */
const LOGITS_AT_ONCE = 2 ** 24;

export interface StockPlace {
  readonly device: DeviceKind;
  /** Threads of what runs on the processor. */
  readonly threads: number;
  /** Tokens of a call at most; as many as the device can where absent. */
  readonly callTokens?: number;
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
    const { device, threads } = place;
    const callTokens = place.callTokens ?? (await longestCall(device, config.headDim, threads));
    const kept = cachePairs(config).map(([, present]) => present);
    const session = await ModelSession.open(join(folder, MODEL_FILE), { device, threads, kept });
    return new StockNetwork(session, config, callTokens);
  }

  get device(): RuntimeDevice {
    return this.#session.device;
  }

  /**
   * Opens a reader of a sequence of at most `capacity` tokens. Several side by side could not go on by more than a token.
   * @throws UserError `generate/context`.
   */
  reader(batch: number, capacity: number): TokenReader {
    if (batch !== 1) throw new Error(`a reader of ${batch} sequences`);
    this.#expectLength(capacity);
    return new StockReader(this.#session, this.#config, this.#callTokens);
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
    const reader = new StockReader(this.#session, this.#config, this.#callTokens);
    let [sum, place] = [0, 1];
    try {
      for await (const logits of reader.logits(ids.subarray(0, -1), signal)) {
        const next = ids.subarray(place, place + logits.length / vocabSize);
        sum += lossSum(logits, next);
        place += next.length;
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

/** Reads tokens of a sequence, with what it keeps of those before. */
class StockReader implements TokenReader {
  readonly #session: ModelSession;
  readonly #config: ModelConfig;
  readonly #callTokens: number;
  #past: Readonly<Record<string, HostTensor | KeptValue>>;
  #length = 0;

  constructor(session: ModelSession, config: ModelConfig, callTokens: number) {
    this.#session = session;
    this.#config = config;
    this.#callTokens = Math.max(1, Math.min(callTokens, Math.floor(LOGITS_AT_ONCE / config.vocabSize)));
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
    let last: Float32Array = new Float32Array();
    for await (const logits of this.logits(ids, signal)) last = logits.slice(-vocabSize);
    return float32([1, vocabSize], last);
  }

  /** Reads the next tokens in parts. @returns yields logits [part, V]. */
  async *logits(ids: Int32Array, signal?: AbortSignal): AsyncGenerator<Float32Array> {
    for (let from = 0; from < ids.length; from += this.#callTokens)
      yield await this.#read(ids.subarray(from, from + this.#callTokens), signal);
  }

  async #read(ids: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const length = this.#length + ids.length;
    const inputs = {
      input_ids: int64([1, ids.length], BigInt64Array.from(ids, BigInt)),
      attention_mask: int64([1, length], new BigInt64Array(length).fill(1n)),
    };
    const { computed, kept } = await this.#session.run({ ...this.#past, ...inputs }, signal);
    const past = cachePairs(this.#config).map(([name, present]) => [name, kept[present]!]);
    this.#replace(Object.fromEntries(past), length);
    return computed.logits!;
  }

  #replace(past: Readonly<Record<string, HostTensor | KeptValue>>, length: number): void {
    for (const value of Object.values(this.#past)) if ('dispose' in value) value.dispose();
    this.#past = past;
    this.#length = length;
  }

  #nothing(): Record<string, HostTensor> {
    const { kvHeads, headDim } = this.#config;
    const empty = float32([1, kvHeads, 0, headDim], new Float32Array());
    return Object.fromEntries(cachePairs(this.#config).map(([name]) => [name, empty]));
  }
}

/** Names of keys and values as inputs, and as the outputs that these are next. */
function cachePairs({ layers }: ModelConfig): (readonly [past: string, present: string])[] {
  return Array.from({ length: layers }, (_, layer) =>
    (['key', 'value'] as const).map((what) => [pastName(layer, what), presentName(layer, what)] as const),
  ).flat();
}
