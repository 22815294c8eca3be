/** Files that become a model folder: the folder must then be read as one. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '../../../src/engine/model/checkpoint.ts';
import { importGguf } from '../../../src/engine/model/import-gguf.ts';
import { importLlama2c } from '../../../src/engine/model/import-llama2c.ts';
import { openTokenizer } from '../../../src/engine/model/tokenizer.ts';
import { readTensor } from '../../../src/formats/tensor-io.ts';
import { UserError } from '../../../src/protocol/errors.ts';
import { ggufFiles, llama2cFiles, llama2cTokenizers } from '../fixtures/imports.ts';
import { mutateBytes } from '../mutations/bytes.ts';
import { expectSane, type Format, Insane } from './format.ts';
import { expectSaneTokenizer } from './tokenizers.ts';

/** What we wrote ourselves must be what we read. */
async function expectModel(dir: string): Promise<void> {
  try {
    const checkpoint = await openCheckpoint(dir);
    for (const tensor of checkpoint.tensors.values()) readTensor(tensor);
    expectSaneTokenizer(openTokenizer(dir, checkpoint.config.vocabSize), checkpoint.config.vocabSize);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new Insane(`an import wrote a folder that is then refused: ${error.code}: ${error.message}`);
  }
}

const gguf: Format = {
  name: 'gguf',
  async open({ dir, model }) {
    const [file, out] = [join(dir, 'damaged.gguf'), join(dir, 'imported')];
    return {
      originals: await ggufFiles(model),
      mutate: mutateBytes,
      async read(input) {
        writeFileSync(file, input);
        rmSync(out, { recursive: true, force: true });
        const { parameters } = await importGguf({ file, out });
        expectSane(parameters <= 2 * input.length, `${parameters} parameters of ${input.length} bytes`);
        await expectModel(out);
      },
    };
  },
};

/** @param part which of the two files is damaged. */
function llama2c(name: string, part: 'checkpoint' | 'tokenizer'): Format {
  return {
    name,
    async open({ dir }) {
      const [checkpoint, tokenizer] = [join(dir, 'damaged.bin'), join(dir, 'tokenizer.bin')];
      const out = join(dir, 'imported');
      writeFileSync(checkpoint, llama2cFiles()[0]!);
      writeFileSync(tokenizer, llama2cTokenizers()[0]!);
      return {
        originals: part === 'checkpoint' ? llama2cFiles() : llama2cTokenizers(),
        mutate: mutateBytes,
        async read(input) {
          writeFileSync(part === 'checkpoint' ? checkpoint : tokenizer, input);
          rmSync(out, { recursive: true, force: true });
          await importLlama2c({ checkpoint, tokenizer, out });
          await expectModel(out);
        },
      };
    },
  };
}

export const IMPORT_FORMATS: readonly Format[] = [
  gguf,
  llama2c('llama2c', 'checkpoint'),
  llama2c('llama2c-tokenizer', 'tokenizer'),
];
