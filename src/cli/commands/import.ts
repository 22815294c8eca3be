import { accessSync, constants } from 'node:fs';
import { readingNow } from '../../disk/faults.ts';
import { expectKind, fileKind } from '../../disk/file-kind.ts';
import type { DequantizedDType, ImportProgress } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/printable.ts';
import { loadEngine } from '../engine.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';

export interface ImportFlags {
  readonly out?: string;
  readonly tokenizer?: string;
  readonly dtype?: DequantizedDType;
}

interface Summary {
  readonly dir: string;
  readonly parameters: number;
  readonly warnings: readonly string[];
}

/** @param folder the model folder to make, as an argument; `--out` is the same as an option. */
export async function importModel(
  source: string,
  folder: string | undefined,
  flags: ImportFlags,
  output: Output,
): Promise<undefined> {
  readingNow(source, () => accessSync(source, constants.R_OK), { code: 'import/unreadable' });
  expectKind(source, 'weights');
  const isGguf = source.endsWith('.gguf') || fileKind(source).name === 'gguf';
  const out = chooseFolder(source, folder, flags.out);
  const summary = isGguf
    ? await importFromGguf(source, out, flags, output)
    : await importFromLlama2c(source, out, flags, output);
  for (const warning of summary.warnings)
    output.note(`${output.colors.yellow('Warning:')} ${printable(warning)}`);
  output.document({ model: summary.dir, parameters: summary.parameters, warnings: summary.warnings });
  output.result(`${summary.dir}: ${summary.parameters.toLocaleString('en')} parameters`);
}

/** The folder may be named once. By default it lies beside the source and has its name. */
function chooseFolder(source: string, argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option)
    throw new UserError(
      'import/two-folders',
      `Two folders are named: ${argument} and ${option}.`,
      'Name one of them.',
    );
  const out = argument ?? option ?? source.replace(/\.[^./\\]+$/, '');
  if (out !== source) return out;
  throw new UserError('import/no-folder', `No folder is named for ${source}.`, 'Name it: --out FOLDER.');
}

async function importFromGguf(
  source: string,
  out: string,
  flags: ImportFlags,
  output: Output,
): Promise<Summary> {
  if (flags.tokenizer !== undefined)
    throw new UserError(
      'import/tokenizer',
      'A GGUF file holds its tokenizer; --tokenizer is for llama2.c checkpoints.',
      'Leave --tokenizer out.',
    );
  const { importGguf } = await loadEngine();
  return withProgress(output, (progress) =>
    importGguf({ file: source, out, dtype: flags.dtype, ...progress }),
  );
}

/** Runs an import that shows its tensors and that a signal stops. */
function withProgress<T>(output: Output, work: (progress: ImportProgress) => Promise<T>): Promise<T> {
  return interruptible(output, async (signal) => {
    try {
      return await work({
        signal,
        onTensor: (done, all) => output.status(`tensor ${done + 1} of ${all}`),
      });
    } finally {
      output.status('');
    }
  });
}

async function importFromLlama2c(
  source: string,
  out: string,
  { tokenizer }: ImportFlags,
  output: Output,
): Promise<Summary> {
  if (tokenizer === undefined)
    throw new UserError(
      'import/no-tokenizer',
      'A llama2.c checkpoint does not hold its tokenizer.',
      'Name it: --tokenizer tokenizer.bin (tok512.bin, tok4096.bin … beside the checkpoint).',
    );
  const { importLlama2c } = await loadEngine();
  const summary = await withProgress(output, (progress) =>
    importLlama2c({ checkpoint: source, tokenizer, out, ...progress }),
  );
  return { ...summary, warnings: [] };
}
