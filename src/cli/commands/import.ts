import { closeSync, openSync, readSync } from 'node:fs';
import { messageOf, UserError } from '../../protocol/errors.ts';
import type { Output } from '../output.ts';

export interface ImportFlags {
  readonly out: string;
  readonly tokenizer?: string;
}

export async function importModel(source: string, flags: ImportFlags, output: Output): Promise<undefined> {
  if (firstBytes(source) === 'GGUF')
    throw new UserError(
      'import/gguf',
      `${source} is a GGUF file; this version imports llama2.c checkpoints only.`,
      'Use the Hugging Face folder that the GGUF file was made from: experiments read it as it is.',
    );
  if (flags.tokenizer === undefined)
    throw new UserError(
      'import/no-tokenizer',
      'A llama2.c checkpoint does not hold its tokenizer.',
      'Name it: --tokenizer tokenizer.bin (tok512.bin, tok4096.bin … beside the checkpoint).',
    );
  const { importLlama2c } = await import('../../engine/model/import-llama2c.ts');
  const summary = await importLlama2c({ checkpoint: source, tokenizer: flags.tokenizer, out: flags.out });
  output.document({ model: summary.dir, parameters: summary.parameters });
  output.result(`${summary.dir}: ${summary.parameters.toLocaleString('en')} parameters`);
}

function firstBytes(path: string): string {
  const bytes = Buffer.alloc(4);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, bytes, 0, 4, 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new UserError(
      'import/unreadable',
      `${path} cannot be read: ${messageOf(error)}.`,
      'Check the path.',
    );
  }
  return bytes.toString('latin1');
}
