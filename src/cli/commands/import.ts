import type { DequantizedDType } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/printable.ts';
import { loadEngine } from '../engine.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';

export interface ImportFlags {
  readonly out?: string;
  readonly tokenizer?: string;
  readonly dtype?: DequantizedDType;
}

/** @param folder the model folder to make, as an argument; `--out` is the same as an option. */
export async function importModel(
  source: string,
  folder: string | undefined,
  { out: option, tokenizer, dtype }: ImportFlags,
  output: Output,
): Promise<undefined> {
  const engine = await loadEngine();
  const out = chooseFolder(source, folder, option);
  const { dir, parameters, warnings } = await interruptible(output, (signal) =>
    follow(engine.importModel({ source, out, tokenizer, dtype }, signal), output),
  );
  for (const warning of warnings) output.note(`${output.colors.yellow('Warning:')} ${printable(warning)}`);
  output.document({ model: dir, parameters, warnings });
  output.result(`${dir}: ${parameters.toLocaleString('en')} parameters`);
}

/** The folder may be named once. By default it lies beside the source and has its name. */
function chooseFolder(source: string, argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option)
    throw new UserError(
      'import/two-folders',
      `Two folders are named: ${argument} and ${option}.`,
      'Name one of them.',
    );
  return argument ?? option ?? source.replace(/\.[^./\\]+$/, '');
}
