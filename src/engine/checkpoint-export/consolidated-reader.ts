/** A consolidated checkpoint as a folder of numbers, for a network that computes nothing between its layers. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { writeModelWeights } from '../../formats/safetensors-shards.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { MAX_UNPACKED_BYTES, readTorchTensors } from '../../formats/torch-zip.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { pairByHalves } from '../model/rotary-rows.ts';
import { EMBEDDING_NAME, FINAL_NORM_NAME, LM_HEAD_NAME, layerTensorName } from '../model/weights.ts';
import type { Network } from '../network/network.ts';
import { multiples } from '../network/rounded-weights.ts';
import {
  CONSOLIDATED_FILE,
  EMBEDDINGS,
  LAST_NORM,
  linearName,
  normName,
  OUTPUT,
  ROTARY_LINEARS,
} from './consolidated-names.ts';
import { writeModelFiles } from './model-files.ts';
import { networkOfFolder } from './network-forms.ts';
import { runTimeMaps, WITHOUT_RUN_TIME_MAP } from './run-time-maps.ts';

/**
 * The network of a file, as its tensors alone say: codes times scales, rows of q and k in halves, R4 folded back.
 * @param network that it was made of, for its sizes and the maps that the runtime computes.
 * @param scratch a folder that is removed later.
 * @returns null for a file that is too long to be read as a whole.
 */
export async function networkOfConsolidated(
  cache: ProgramCache,
  folder: string,
  network: Network,
  scratch: string,
): Promise<Network | null> {
  const path = join(folder, CONSOLIDATED_FILE);
  if (statSync(path).size > MAX_UNPACKED_BYTES) return null;
  const reader = new Reader(cache, readTorchTensors(path), network);
  const { config, dir } = network.checkpoint;
  const tensors: Record<string, Tensor> = {
    [EMBEDDING_NAME]: reader.rows(EMBEDDINGS),
    [LM_HEAD_NAME]: reader.rows(OUTPUT),
    [FINAL_NORM_NAME]: reader.tensor(LAST_NORM),
  };
  for (let layer = 0; layer < config.layers; layer++) {
    tensors[layerTensorName(layer, 'inputNorm')] = reader.tensor(normName(layer, 'attention-norm'));
    tensors[layerTensorName(layer, 'postNorm')] = reader.tensor(normName(layer, 'mlp-norm'));
    for (const linear of LINEARS)
      tensors[layerTensorName(layer, linear)] = await reader.linear(layer, linear);
  }
  await writeModelWeights(scratch, tensors);
  await writeModelFiles(scratch, dir, 'float32');
  return networkOfFolder(cache, scratch);
}

class Reader {
  readonly #cache: ProgramCache;
  readonly #tensors: ReadonlyMap<string, HostTensor>;
  readonly #network: Network;

  constructor(cache: ProgramCache, tensors: ReadonlyMap<string, HostTensor>, network: Network) {
    this.#cache = cache;
    this.#tensors = tensors;
    this.#network = network;
  }

  tensor(name: string): HostTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new Error(`${name} was not written`);
  }

  /** Codes times the scales of their rows or groups. */
  rows(name: string): HostTensor<Float32Array> {
    const { dims, data } = this.tensor(`${name}.weight`);
    const [rows = 0, columns = 0] = dims;
    const scale = toFloat32(this.tensor(`${name}.scales`));
    if (!(data instanceof Int8Array)) throw new Error(`${name} has no bytes`);
    const zero = new Float32Array(scale.length);
    return float32(dims, multiples({ rows, columns, codes: data, scale, zero }));
  }

  async linear(layer: number, linear: Linear): Promise<HostTensor<Float32Array>> {
    const { options, checkpoint } = this.#network;
    const rows = this.rows(linearName(layer, linear));
    if (ROTARY_LINEARS.includes(linear)) return pairByHalves(rows, checkpoint.config.headDim);
    const placed = runTimeMaps(options.maps).find((each) => each.linear === linear);
    if (!placed) return rows;
    const [count = 0, columns = 0] = rows.dims;
    const program = await this.#cache.get(WITHOUT_RUN_TIME_MAP, {
      rows: count,
      columns,
      map: placed.map,
    });
    return float32(rows.dims, (await program.run({ w: rows })).folded.data);
  }
}
