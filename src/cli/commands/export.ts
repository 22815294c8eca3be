import { readSafetensorsHeader, type SafetensorsFile } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { writeTorchTensors } from '../../formats/torch-zip-write.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import { openRun } from '../../runs/index.ts';
import { rotationsFile } from '../experiment.ts';
import type { Output } from '../output.ts';

export interface ExportFlags {
  readonly format: 'safetensors' | 'rbin';
  readonly out: string;
}

/** The names that the reference gives rotations in R.bin. Nothing else belongs in one. */
const ROTATION_NAME = /^(R1|model\.layers\.\d+\.self_attn\.R2)$/;

/**
 * Writes the learned rotations of a run. `rbin` is the reference's R.bin: a dict of float32 tensors, `R1`
 * [hidden, hidden] and `model.layers.{i}.self_attn.R2` [head, head], in the sense x ↦ x R.
 */
export async function exportRun(runDir: string, flags: ExportFlags, output: Output): Promise<undefined> {
  const run = await openRun(runDir);
  const source = readSafetensorsHeader(rotationsFile(run.dir));
  const names =
    flags.format === 'rbin'
      ? await writeRbin(source, flags.out)
      : await writeCopy(source, flags.out, run.record.id);
  output.document({ file: flags.out, format: flags.format, tensors: names });
  output.result(`${flags.out}: ${names.length} rotations`);
}

async function writeCopy(source: SafetensorsFile, out: string, run: string): Promise<string[]> {
  await writeSafetensors(out, Object.fromEntries(source.tensors), { ...source.metadata, run });
  return [...source.tensors.keys()];
}

async function writeRbin(source: SafetensorsFile, out: string): Promise<string[]> {
  const rotations = [...source.tensors].filter(([name]) => ROTATION_NAME.test(name));
  if (rotations.length === 0)
    throw new UserError(
      'export/no-rotations',
      `${source.path} holds neither R1 nor R2; found: ${[...source.tensors.keys()].slice(0, 4).join(', ') || 'nothing'}.`,
      'R.bin holds merged rotations only. Use --format safetensors.',
    );
  const tensors = rotations.map(([name, tensor]) => [
    name,
    float32(tensor.dims, toFloat32(readTensor(tensor))),
  ]);
  await writeTorchTensors(out, Object.fromEntries(tensors));
  return rotations.map(([name]) => name);
}
