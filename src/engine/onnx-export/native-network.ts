import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../protocol/errors.ts';
import { allocate, elementCount, type HostTensor, int64 } from '../../protocol/tensor.ts';
import { lossSum } from '../generate/token-choice.ts';
import type { ModelConfig } from '../model/config.ts';
import type { OutputSpec, Runtime, Session } from '../runtime/types.ts';
import { type CacheRole, type CacheRows, pastName } from './model-blocks.ts';
import { MODEL_FILE } from './write-model.ts';

interface Opened {
  readonly session: Session;
  /** Tokens that it reads. */
  readonly tokens: number;
}

/** A network as an ONNX model of our operators, in the engine's own runtime. It reads windows whole. */
export class NativeNetwork {
  readonly #runtime: Runtime;
  readonly #folder: string;
  readonly #config: ModelConfig;
  readonly #rows: CacheRows;
  #opened: Opened | null = null;

  /**
   * @param runtime with our operators.
   * @param folder of `model.onnx`.
   * @param rows of its keys and values.
   */
  constructor(runtime: Runtime, folder: string, config: ModelConfig, rows: CacheRows) {
    this.#runtime = runtime;
    this.#folder = folder;
    this.#config = config;
    this.#rows = rows;
  }

  /** Each window is a call. */
  windowsAtOnce(): number {
    return 1;
  }

  /** See `WindowReader`; the last token of a window is only predicted. */
  async meanLosses(windows: readonly Int32Array[], signal?: AbortSignal): Promise<number[]> {
    const means: number[] = [];
    for (const ids of windows) {
      const next = ids.subarray(1);
      means.push(lossSum(await this.#logits(ids.subarray(0, -1), signal), next) / next.length);
    }
    return means;
  }

  /** The fault of a window whose loss is not finite. */
  async notFinite({ name }: { readonly name: string }, window: number): Promise<UserError> {
    return new UserError(
      'evaluation/not-finite',
      `The perplexity of "${name}" in the written ONNX model is not finite from window ${window + 1} on.`,
    );
  }

  release(): void {
    this.#opened?.session.release();
    this.#opened = null;
  }

  /** Logits [n, V] of a text. */
  async #logits(ids: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const session = await this.#sessionFor(ids.length);
    const input_ids = int64([1, ids.length], BigInt64Array.from(ids, BigInt));
    const inputs = { input_ids, ...this.#emptyCache() };
    const { logits } = await session.run(inputs, ['logits'], signal);
    if (logits?.data instanceof Float32Array) return logits.data;
    throw new Error('the logits are not float32');
  }

  /** The shapes of a session are static: a length has its own. */
  async #sessionFor(tokens: number): Promise<Session> {
    if (this.#opened?.tokens === tokens) return this.#opened.session;
    this.release();
    const logits: OutputSpec = { dtype: 'float32', dims: [1, tokens, this.#config.vocabSize] };
    const model = readFileSync(join(this.#folder, MODEL_FILE));
    const session = await this.#runtime.createSession(model, { logits }, { dataFolder: this.#folder });
    this.#opened = { session, tokens };
    return session;
  }

  #emptyCache(): Record<string, HostTensor> {
    const { layers, kvHeads } = this.#config;
    const { dtype, width } = this.#rows;
    const dims = [1, kvHeads, 0, width];
    const empty: HostTensor = { kind: 'host', dtype, dims, data: allocate(dtype, elementCount(dims)) };
    const roles: readonly CacheRole[] = ['key', 'value'];
    return Object.fromEntries(
      Array.from({ length: layers }, (_, layer) =>
        roles.map((role) => [pastName(layer, role), empty] as const),
      ).flat(),
    );
  }
}
