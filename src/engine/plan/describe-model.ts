import { elementCount } from '../../protocol/tensor.ts';
import { type ModelWarning, openCheckpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import { planHadamard } from '../rotation/hadamard-plan.ts';

/** A model folder for people: its sizes, and how its widths are Hadamard-transformed. */
export interface ModelDescription {
  readonly config: ModelConfig;
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly dtypes: readonly string[];
  readonly tensors: number;
  readonly tiedEmbeddings: boolean;
  /** These claims of the folder are disproved by its tensors. */
  readonly warnings: readonly ModelWarning[];
  readonly hadamard: Readonly<Record<'r1' | 'r2' | 'r4', string>>;
}

/** @throws UserError when the folder is not a model that we read. */
export async function describeModel(dir: string): Promise<ModelDescription> {
  const { config, tensors, sizeBytes, tiedEmbeddings, warnings } = await openCheckpoint(dir);
  const all = [...tensors.values()];
  return {
    config,
    parameters: all.reduce((sum, { dims }) => sum + elementCount(dims), 0),
    sizeBytes,
    dtypes: [...new Set(all.map(({ dtype }) => dtype))],
    tensors: tensors.size,
    tiedEmbeddings,
    warnings,
    hadamard: {
      r1: planHadamard(config.hiddenSize).statement,
      r2: planHadamard(config.headDim).statement,
      r4: planHadamard(config.intermediateSize).statement,
    },
  };
}
