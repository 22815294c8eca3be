import { type ForeignTensor, unknownDType } from '../../formats/safetensors.ts';
import { UserError } from '../../protocol/errors.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import type { ConfigFile, ModelConfig } from './config.ts';
import { quantizationFault } from './quantized.ts';
import type { StoredTensors } from './stored-tensors.ts';
import { expectedTensors, LAYER_TENSOR_NAMES, LM_HEAD_NAME } from './weights.ts';

const WEIGHT_DTYPES = ['float32', 'float16', 'bfloat16', 'float64'];
const LAYER_NAME = /^model\.layers\.(\d+)\.(.*)$/;
const ADAPTER = /\.(?:lora_[A-Za-z_]+|base_layer)\./;

/**
 * Compares the tensors that were found with those that the configuration needs.
 * @throws UserError `model/…` listing what is missing, or the first wrong tensor.
 */
export function checkWeights(dir: string, file: ConfigFile, stored: StoredTensors): void {
  const { config } = file;
  const found = new Map<string, FileTensor | ForeignTensor>([...stored.tensors, ...stored.foreign]);
  const names = [...found.keys()];
  // A count of layers that no file bears out must not decide how much is made here.
  checkLayers(dir, file, names);
  const expected = expectedTensors(config);
  const quantized = quantizationFault(file, expected, found, WEIGHT_DTYPES);
  if (quantized) throw quantized;
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  if (missing.length > 0)
    throw missingTensors(
      dir,
      config,
      missing,
      names.filter((name) => !expected.has(name)),
    );
  for (const [name, { dims, reason }] of expected) checkTensor(name, found.get(name)!, dims, reason);
  const head = found.get(LM_HEAD_NAME);
  const table = expected.get('model.embed_tokens.weight');
  if (config.tiedEmbeddings && head && table) checkTensor(LM_HEAD_NAME, head, table.dims, table.reason);
  for (const [name, tensor] of found) if (!expected.has(name)) checkUnexpected(config, name, tensor);
}

function checkLayers(dir: string, { path, config }: ConfigFile, names: readonly string[]): void {
  const layers = names.reduce(
    (most, name) => Math.max(most, Number(LAYER_NAME.exec(name)?.[1] ?? -1) + 1),
    0,
  );
  if (layers === 0 || config.layers <= layers) return;
  throw new UserError(
    'model/layers',
    `${path}: num_hidden_layers is ${config.layers}, but the files of ${dir} hold ${layers === 1 ? 'layer 0 only' : `the layers 0 to ${layers - 1}`}.`,
    `Set num_hidden_layers to ${layers} if config.json is wrong; else files are missing: download the model again.`,
  );
}

/** @param unused names that were found and that the model does not need. */
function missingTensors(
  dir: string,
  config: ModelConfig,
  missing: readonly string[],
  unused: readonly string[],
): UserError {
  const held = unused.length > 0 ? ` Its files hold, besides what is needed, ${listed(unused)}.` : '';
  return new UserError(
    'model/missing-tensor',
    `${dir} lacks ${missing.length} tensors that a ${config.architecture} model of ${config.layers} layers needs: ${listed(missing)}.${held}`,
    hintFor(missing, unused),
  );
}

function listed(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
}

function hintFor(missing: readonly string[], unused: readonly string[]): string {
  if (missing.length === 1 && missing[0] === LM_HEAD_NAME)
    return 'If the output layer shares the embedding, set "tie_word_embeddings": true in config.json.';
  if (unused.some((name) => ADAPTER.test(name)))
    return 'An adapter (LoRA) is not merged: merge_and_unload() of PEFT does it; then save the model again.';
  return 'The checkpoint is incomplete or config.json belongs to another model.';
}

function checkTensor(
  name: string,
  tensor: FileTensor | ForeignTensor,
  dims: readonly number[],
  reason: string,
): void {
  if (tensor.kind === 'foreign') throw unknownDType(name, tensor);
  if (tensor.dims.join() !== dims.join()) {
    throw new UserError(
      'model/tensor-shape',
      `${tensor.path}: ${name} has shape [${tensor.dims.join(', ')}]; config.json asks for [${dims.join(', ')}] (${reason}).`,
      'The checkpoint and config.json do not belong together.',
    );
  }
  if (!WEIGHT_DTYPES.includes(tensor.dtype)) {
    throw new UserError(
      'model/tensor-dtype',
      `${tensor.path}: ${name} is ${tensor.dtype}; supported are ${WEIGHT_DTYPES.join(', ')}.`,
      'The weights seem to be quantized already: use the full-precision checkpoint.',
    );
  }
}

/** Extra tensors are harmless unless they would change what the model computes. */
function checkUnexpected(config: ModelConfig, name: string, tensor: FileTensor | ForeignTensor): void {
  const layer = LAYER_NAME.exec(name);
  const changesFunction =
    layer !== null &&
    (Number(layer[1]) >= config.layers || Object.values(LAYER_TENSOR_NAMES).includes(layer[2]!));
  if (!changesFunction) return;
  throw new UserError(
    'model/unexpected-tensor',
    `${tensor.path} holds ${name}, which config.json (${config.architecture}, ${config.layers} layers) does not know.`,
    'Leaving it out would change the model: correct config.json (attention_bias, mlp_bias, num_hidden_layers, model_type).',
  );
}
