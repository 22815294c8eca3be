import { expectWritable } from '../../disk/faults.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import { EXPORT_FORMAT_NAMES, isExportFormat } from '../../protocol/export-formats.ts';
import { openRun } from '../../runs/index.ts';
import { rotationsFile } from '../rotation/rotation-file.ts';
import type { ExportFormat } from './format.ts';

/**
 * Writes the rotations of a run to a file.
 * @param name of a format in `protocol/export-formats`.
 * @throws UserError `export/format`, `rotation/none-in-run`.
 */
export async function exportRun(dir: string, name: string, out: string): Promise<string[]> {
  if (!isExportFormat(name))
    throw new UserError(
      'export/format',
      `There is no format "${name}"; there are: ${EXPORT_FORMAT_NAMES.join(', ')}.`,
      'Name one of them.',
    );
  expectWritable(out);
  const run = await openRun(dir);
  const rotations = readSafetensorsHeader(rotationsFile(run.dir));
  const module: unknown = await import(`./${name}.ts`);
  const { format } = module as { readonly format: ExportFormat };
  return format.write({ rotations, run: run.record.id }, out);
}
