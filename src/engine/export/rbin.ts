import { toFloat32 } from '../../formats/tensor-io.ts';
import { writeTorchTensors } from '../../formats/torch-zip-write.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32 } from '../../protocol/tensor.ts';
import { onePerLayer, referenceName } from '../rotation/rotation-file.ts';
import type { ExportFormat } from './format.ts';

/**
 * The reference's R.bin: a dict of float32 tensors, `R1` [hidden, hidden] and `model.layers.{i}.self_attn.R2`
 * [head, head], in the sense x ↦ x R. It has no place for an R2 of each key/value head.
 */
export const format: ExportFormat = {
  async write({ rotations: { path, tensors } }, out) {
    const named = [...tensors].flatMap(([name, tensor]) => {
      const reference = referenceName(name);
      return reference === null ? [] : [[reference, float32(tensor.dims, toFloat32(tensor))] as const];
    });
    if (named.length === 0)
      throw new UserError(
        'export/no-rotations',
        `${path} holds neither R1 nor R2; found: ${[...tensors.keys()].slice(0, 4).join(', ') || 'nothing'}.`,
        'R.bin holds merged rotations only. Use --format safetensors.',
      );
    const perHead = named.find(([, { dims }]) => dims.length > 2);
    if (perHead) throw onePerLayer(out, perHead[1].dims[0]!);
    await writeTorchTensors(out, Object.fromEntries(named));
    return named.map(([name]) => name);
  },
};
