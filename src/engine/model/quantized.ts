import type { ForeignTensor } from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import type { ModelWarning } from './checkpoint.ts';
import type { ConfigFile } from './config.ts';
import type { ExpectedTensor } from './weights.ts';

/**
 * Tensors that stand beside, or in the place of, weights that are quantized: GPTQ and AWQ, bitsandbytes, MLX,
 * compressed-tensors and FP8 with scales.
 */
const MARKS =
  /^model\.layers\.\d+\..*_proj\.(?:qweight|qzeros|g_idx|scales|SCB|weight_packed|weight_scale(?:_inv|_2)?|weight_zero_point|weight\.(?:absmax|quant_map|nested_absmax|quant_state\..*))$/;

type Found = ReadonlyMap<string, FileTensor | ForeignTensor>;

/**
 * Returns the fault of weights that are quantized already. A key of config.json proves nothing: it may be left from
 * how the model was trained. Proof is a weight of another dtype, or scales beside it.
 */
export function quantizationFault(
  { path, quantizedBy }: ConfigFile,
  expected: ReadonlyMap<string, ExpectedTensor>,
  found: Found,
  weightDTypes: readonly string[],
): UserError | null {
  const mark = [...found.keys()].find((name) => MARKS.test(name));
  const coded =
    quantizedBy === null
      ? undefined
      : [...expected.keys()].find((name) => isCoded(found.get(name), weightDTypes));
  const name = coded ?? mark;
  const tensor = name === undefined ? undefined : found.get(name);
  if (tensor === undefined) return null;
  const said = quantizedBy === null ? '' : ` (quantization_config of ${path}: ${quantizedBy})`;
  return new UserError(
    'model/quantized',
    `${tensor.path}: the weights are quantized already: ${name} is ${tensor.dtype} [${tensor.dims.join(', ')}]${said}.`,
    quantizedBy?.startsWith('bitsandbytes')
      ? 'Use the checkpoint that it was made from, or save what model.dequantize() of transformers gives.'
      : 'Use the full-precision (bfloat16, float16 or float32) checkpoint that it was made from.',
  );
}

function isCoded(tensor: FileTensor | ForeignTensor | undefined, weightDTypes: readonly string[]): boolean {
  return tensor !== undefined && !weightDTypes.includes(tensor.dtype);
}

/** The warning of a `quantization_config` beside weights that were checked and are none. */
export function staleQuantization({ path, quantizedBy }: ConfigFile): ModelWarning | null {
  if (quantizedBy === null) return null;
  return {
    code: 'model/stale-quantization',
    message: `${path} has a quantization_config (${quantizedBy}), but the weights are not quantized: the key is stale, and is ignored.`,
    hint: 'Remove quantization_config from config.json.',
  };
}
