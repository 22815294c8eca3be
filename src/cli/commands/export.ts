import { UserError } from '../../protocol/errors.ts';
import {
  type ExportFormatName,
  type ExportTarget,
  isModelFormat,
  type ModelFormatName,
  type TableBits,
} from '../../protocol/export-formats.ts';
import { formatBytes } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import type { KernelOption } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { runsFolder } from './runs.ts';

export interface ExportFlags {
  readonly format: ExportFormatName | ModelFormatName;
  readonly out: string;
  readonly target?: ExportTarget;
  readonly embeddings?: TableBits;
  readonly head?: TableBits;
  readonly kernels: KernelOption;
}

/** Writes the learned rotations of a run to a file, or its whole model to a folder. */
export async function exportRun(run: string, flags: ExportFlags, output: Output): Promise<undefined> {
  const { format, out } = flags;
  if (isModelFormat(format)) return exportModel(run, { ...flags, format }, output);
  expectUsed(flags);
  const tensors = await (await loadEngine()).exportRun(run, format, out);
  output.document({ file: out, format, tensors });
  output.result(`${out}: ${tensors.length} rotations`);
}

async function exportModel(
  named: string,
  flags: ExportFlags & { readonly format: ModelFormatName },
  output: Output,
): Promise<undefined> {
  const { format, out, target = 'stock', embeddings = 16, head = 16, kernels } = flags;
  const engine = await loadEngine();
  const from = await engine.findWriter(named, await runsFolder('.'));
  const request = { from, format, target, out, embeddings, head };
  const result = await interruptible(output, (signal) =>
    follow(engine.exportModel(request, { signal, kernels }), output),
  );
  output.document(result);
  const bytes = Object.values(result.files).reduce((sum, size) => sum + size, 0);
  output.result(
    [`${out}: ${result.bits}, ${formatBytes(bytes)}`, ...result.notes.map((note) => `- ${note}`)].join('\n'),
  );
}

/** @throws UserError `cli/not-used` */
function expectUsed({ target, embeddings, head, format }: ExportFlags): void {
  const given = Object.entries({ target, embeddings, head }).find(([, value]) => value !== undefined);
  if (given === undefined) return;
  const option = `--${given[0]}`;
  throw new UserError(
    'cli/not-used',
    `The format ${format} holds rotations alone: ${option} would not be used.`,
    `Add --format onnx, or leave ${option} out.`,
  );
}
