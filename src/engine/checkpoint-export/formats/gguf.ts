import { basename, join } from 'node:path';
import { BLOCK } from '../../../formats/gguf-blocks.ts';
import { writeGguf } from '../../../formats/gguf-write.ts';
import type { GgufWeightType } from '../../../protocol/export-formats.ts';
import { ggufConfig } from '../../model/gguf/write-config.ts';
import { ggufTokenizer } from '../../model/gguf/write-tokenizer.ts';
import { importGguf } from '../../model/import-gguf.ts';
import type { CheckpointFormat } from '../format.ts';
import { hadamardKeys } from '../gguf-hadamard.ts';
import { ggufRows } from '../gguf-rows.ts';
import { ggufTensors } from '../gguf-tensors.ts';
import { MergedWeights } from '../merged-weights.ts';
import { networkOfFolder, nothingElseRounded } from '../network-forms.ts';
import { runTimeMaps } from '../run-time-maps.ts';

/** llama.cpp's numbers of the types of files. */
const FILE_TYPES: Readonly<Record<GgufWeightType, number>> = { F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7 };

/** llama.cpp's own rounding of activations before products with codes (Q8_0): max|x| / 127 of each 32. */
const BLOCKS_OF_BYTES = { bits: 8, symmetric: true, group: BLOCK, clipRatio: 1, includeZero: true } as const;

const FORKS_ALONE =
  'This file is for forks of llama.cpp that read the keys `prism.hadamard.*`. llama.cpp itself loads it and writes nonsense.';

const fileName = (type: GgufWeightType): string => `model-${type}.gguf`;

export const format: CheckpointFormat = {
  rows: ggufRows,

  computed: (run, { type }) =>
    type === 'F16'
      ? nothingElseRounded(run)
      : {
          ...nothingElseRounded(run),
          ...{ input: BLOCKS_OF_BYTES, outputInput: BLOCKS_OF_BYTES, downInput: BLOCKS_OF_BYTES },
        },

  async write(folder, { cache, network, tokenizer, ends, settings }, signal) {
    const { type, hadamard, embeddings, head, weights: choice } = settings;
    const { config, dir } = network.checkpoint;
    const metadata = {
      ...ggufConfig(config, basename(dir), FILE_TYPES[type]),
      ...ggufTokenizer({ dir, rows: config.vocabSize, tokenizer, ends }),
      ...(hadamard === 'prism' && hadamardKeys(network.options.maps, config)),
    };
    const weights = new MergedWeights(cache, network, choice);
    const tensors = ggufTensors({ weights, type, hadamard, embeddings, head, signal });
    await writeGguf(join(folder, fileName(type)), metadata, tensors);
    return [fileName(type)];
  },

  async readBack(folder, { cache, settings: { type } }, scratch) {
    const out = join(scratch, 'read-back');
    const { dir } = await importGguf({ file: join(folder, fileName(type)), out });
    return networkOfFolder(cache, dir);
  },

  usage: ({ settings: { type, hadamard }, maps }) => [
    ...(hadamard === 'prism' && runTimeMaps(maps).length > 0 ? [FORKS_ALONE, ''] : []),
    '```sh',
    `llama-cli -m ${fileName(type)} -p "Once upon a time"`,
    `llama-perplexity -m ${fileName(type)} -f text.txt`,
    '```',
  ],
};
