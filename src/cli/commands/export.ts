import { readSafetensorsHeader, type SafetensorsFile } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { writeTorchTensors } from '../../formats/torch-zip-write.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { openRun } from '../../runs/index.ts';
import { rotationsFile } from '../experiment.ts';
import type { Output } from '../output.ts';

export interface ExportFlags {
  readonly format: 'safetensors' | 'rbin';
  readonly out: string;
}

/** The name that the reference gives a rotation in R.bin, by its name in a run; null for anything else. */
function referenceName(name: string): string | null {
  const layer = /^R2\.(\d+)$/.exec(name)?.[1];
  if (layer !== undefined) return `model.layers.${layer}.self_attn.R2`;
  return name === 'R1' ? name : null;
}

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
  const rotations: Record<string, HostTensor<Float32Array>> = {};
  for (const [name, tensor] of source.tensors) {
    const reference = referenceName(name);
    if (reference !== null) rotations[reference] = float32(tensor.dims, toFloat32(tensor));
  }
  if (Object.keys(rotations).length === 0)
    throw new UserError(
      'export/no-rotations',
      `${source.path} holds neither R1 nor R2; found: ${[...source.tensors.keys()].slice(0, 4).join(', ') || 'nothing'}.`,
      'R.bin holds merged rotations only. Use --format safetensors.',
    );
  await writeTorchTensors(out, rotations);
  return Object.keys(rotations);
}
