/** An exported folder with our operators, in the engine's own runtime. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { OutputSpec, Runtime } from '../../src/engine/runtime/types.ts';
import { allocate, elementCount, type HostTensor, int64 } from '../../src/protocol/tensor.ts';

/** Keys and values in the inputs and outputs of a model. */
export interface CacheType {
  readonly dtype: 'int8' | 'float32';
  readonly width: number;
}

/** Reads one text. The shapes of a session are static in this runtime: every step has a session of its own. */
export class NativeFolder {
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #type: CacheType;
  readonly #folder: string;
  #past: Record<string, HostTensor>;
  #length = 0;

  constructor(runtime: Runtime, folder: string, config: ModelConfig, type: CacheType) {
    this.#runtime = runtime;
    this.#folder = folder;
    this.#config = config;
    this.#type = type;
    this.#past = this.#cache('past_key_values', 0);
  }

  /** Logits [n, V] of the next tokens. */
  async read(ids: ArrayLike<number>): Promise<Float32Array> {
    const n = ids.length;
    const { vocabSize } = this.#config;
    const total = this.#length + n;
    const logits: OutputSpec = { dtype: 'float32', dims: [1, n, vocabSize] };
    const specs = { logits, ...this.#cache('present', total) };
    const model = readFileSync(join(this.#folder, 'model.onnx'));
    const session = await this.#runtime.createSession(model, specs, { dataFolder: this.#folder });
    try {
      const input_ids = int64([1, n], BigInt64Array.from(Array.from(ids), BigInt));
      const results = await session.run({ input_ids, ...this.#past }, Object.keys(specs));
      this.#past = Object.fromEntries(
        Object.keys(this.#past).map((name) => [name, results[name.replace('past_key_values', 'present')]!]),
      );
      this.#length = total;
      return results.logits!.data as Float32Array;
    } finally {
      session.release();
    }
  }

  #cache(name: string, tokens: number): Record<string, HostTensor> {
    const { layers, kvHeads } = this.#config;
    const { dtype, width } = this.#type;
    const dims = [1, kvHeads, tokens, width];
    return Object.fromEntries(
      Array.from({ length: layers }, (_, layer) =>
        ['key', 'value'].map((role): [string, HostTensor] => [
          `${name}.${layer}.${role}`,
          { kind: 'host', dtype, dims, data: allocate(dtype, elementCount(dims)) },
        ]),
      ).flat(),
    );
  }
}
