/** `quantization_config` of a folder of compressed-tensors. */
import { LINEARS, type Linear } from '../../protocol/block.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { ModelConfig } from '../model/config.ts';
import { layerTensorName } from '../model/weights.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import { type NetworkQuantizers, quantizersAt } from '../network/network-quantizers.ts';
import { readBy } from '../network/packed-weights.ts';
import { type PlacedMap, widthOf } from './run-time-maps.ts';

export const PACKED = 'pack-quantized';
/** The version of the package whose schema this is. */
const VERSION = '0.20.1';

/** Name of a linear layer as a module, `model.layers.0.mlp.down_proj`. */
export function moduleName(layer: number, linear: Linear): string {
  return layerTensorName(layer, linear).replace(/\.weight$/, '');
}

/** Modules of the same weights and activations. */
interface Group {
  readonly weights: WeightQuantizer;
  readonly activations: ActivationQuantizer;
  readonly modules: { readonly layer: number; readonly linear: Linear }[];
}

function groupsOf(network: NetworkQuantizers, layers: number): Group[] {
  const groups = new Map<string, Group>();
  for (let layer = 0; layer < layers; layer++) {
    const quantizers = quantizersAt(network, layer);
    for (const linear of LINEARS) {
      const weights = weightQuantizer(linear, quantizers);
      const activations = readBy(linear, quantizers);
      const key = JSON.stringify([weightArgs(weights), activationArgs(activations)]);
      const group = groups.get(key) ?? { weights, activations, modules: [] };
      group.modules.push({ layer, linear });
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

/** A layer of every block in one expression where all are of a group, else by its name. */
function targetsOf({ modules }: Group, layers: number): string[] {
  return LINEARS.flatMap((linear) => {
    const own = modules.filter((module) => module.linear === linear);
    if (own.length === layers) return [`re:.*\\.${lastName(linear)}$`];
    return own.map(({ layer }) => moduleName(layer, linear));
  });
}

const lastName = (linear: Linear): string => moduleName(0, linear).split('.').at(-1)!;

function weightArgs({ bits, symmetric, group }: WeightQuantizer): object {
  return {
    num_bits: bits,
    type: 'int',
    symmetric,
    strategy: group === 0 ? 'channel' : 'group',
    group_size: group === 0 ? null : group,
    block_structure: null,
    dynamic: false,
    actorder: null,
    observer: 'minmax',
  };
}

function activationArgs({ bits, symmetric, group }: ActivationQuantizer): object | null {
  if (bits >= 16) return null;
  return {
    num_bits: bits,
    type: 'int',
    symmetric,
    strategy: group === 0 ? 'token' : 'group',
    group_size: group === 0 ? null : group,
    block_structure: null,
    dynamic: true,
    actorder: null,
    observer: null,
  };
}

/** @param placed maps that are computed at run time. */
export function quantizationConfig(
  network: NetworkQuantizers,
  config: ModelConfig,
  placed: readonly PlacedMap[],
): object {
  const { layers } = config;
  const groups = groupsOf(network, layers);
  const packed = groups.filter(({ weights }) => weights.bits < 16);
  const others = groups.filter(({ weights }) => weights.bits >= 16).flatMap(({ modules }) => modules);
  return {
    quant_method: 'compressed-tensors',
    format: PACKED,
    quantization_status: 'compressed',
    version: VERSION,
    global_compression_ratio: null,
    kv_cache_scheme: null,
    ignore: ['lm_head', ...others.map(({ layer, linear }) => moduleName(layer, linear))],
    sparsity_config: {},
    config_groups: Object.fromEntries(
      packed.map((group, i) => [
        `group_${i}`,
        {
          targets: packed.length === 1 && others.length === 0 ? ['Linear'] : targetsOf(group, layers),
          weights: weightArgs(group.weights),
          input_activations: activationArgs(group.activations),
          output_activations: null,
          format: PACKED,
        },
      ]),
    ),
    ...(placed.length > 0 && {
      transform_config: {
        config_groups: Object.fromEntries(placed.map((map) => transformGroup(map, config))),
      },
    }),
  };
}

/**
 * A map at run time. Sylvester's matrices have a kernel; others are stored in every layer as a matrix that is divided by
 * the root of its width.
 */
function transformGroup(placed: PlacedMap, config: ModelConfig): [string, object] {
  const { symbol, linear, map } = placed;
  const n = widthOf(map, config);
  const columns = linear === 'o' ? config.heads * config.headDim : config.intermediateSize;
  return [
    symbol,
    {
      type: isSylvester(placed) ? 'hadamard' : 'random-hadamard',
      apply: [{ targets: [`re:.*\\.${lastName(linear)}$`], location: 'input', inverse: false, ignore: [] }],
      randomize: false,
      requires_grad: false,
      head_dim: n === columns ? null : n,
      precision: 'torch.float32',
    },
  ];
}

export const isSylvester = ({ map }: PlacedMap): boolean =>
  map.kind === 'hadamard' && map.transform.order === 1;

/** Name of the matrix of a map in a layer. */
export const transformName = ({ symbol, linear }: PlacedMap, layer: number): string =>
  `${moduleName(layer, linear)}.${symbol}_input.weight`;
