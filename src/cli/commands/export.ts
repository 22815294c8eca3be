import type { ExportFormatName } from '../../protocol/export-formats.ts';
import { loadEngine } from '../engine.ts';
import type { Output } from '../output.ts';

export interface ExportFlags {
  readonly format: ExportFormatName;
  readonly out: string;
}

/** Writes the learned rotations of a run to a file. */
export async function exportRun(
  run: string,
  { format, out }: ExportFlags,
  output: Output,
): Promise<undefined> {
  const tensors = await (await loadEngine()).exportRun(run, format, out);
  output.document({ file: out, format, tensors });
  output.result(`${out}: ${tensors.length} rotations`);
}
