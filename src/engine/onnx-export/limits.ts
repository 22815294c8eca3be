/** What stock operators can express of a network, and what they do in another way. */
import type { Bits } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { formatCount } from '../../protocol/text.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Network } from '../network/network.ts';
import { symbolOf } from '../network/seams.ts';
import { blockOf, storageBits } from './block-weight.ts';
import { contextLength } from './stock-model.ts';

/** GroupQueryAttention takes heads of multiples of so many channels. */
const HEAD_MULTIPLE = 8;

/** What decides whether stock operators have a place for a network. */
export interface StockQuestion {
  readonly checkpoint: Pick<Checkpoint, 'dir' | 'config'>;
  readonly weights: WeightQuantizer;
  /** The method that rounds the weights, and whether to numbers that no grid holds. */
  readonly method: string;
  readonly dense: boolean;
}

/** @throws UserError `export/head-size`, `export/no-grid`, `export/group-size` for what has no place there. */
export function expectStock({ checkpoint, weights, method, dense }: StockQuestion): void {
  const { headDim } = checkpoint.config;
  if (headDim % HEAD_MULTIPLE !== 0)
    throw new UserError(
      'export/head-size',
      `The heads of ${checkpoint.dir} have ${headDim} channels; GroupQueryAttention of ONNX Runtime takes multiples of ${HEAD_MULTIPLE}.`,
      'Choose a model with other heads: nothing can be set here.',
    );
  if (dense)
    throw new UserError(
      'export/no-grid',
      `The method ${method} rounds the weights of this run to numbers that no grid of rows or groups holds; MatMulNBits of ONNX Runtime has whole numbers times a scale.`,
      'Make a run with another method for weights, such as the default.',
    );
  if (weights.bits < 16) weightBlocks(checkpoint.config, weights);
}

/** Columns of the blocks that weights have in MatMulNBits, the longest first. */
function weightBlocks(
  { hiddenSize, heads, headDim, intermediateSize }: ModelConfig,
  { group }: WeightQuantizer,
): readonly number[] {
  const widths = [hiddenSize, heads * headDim, intermediateSize];
  return [...new Set(widths.map((width) => blockOf(width, group || width)))].sort((a, b) => b - a);
}

const blocksInWords = ({ checkpoint, options }: Network): string =>
  weightBlocks(checkpoint.config, options.quantizers.weights).join(' or ');

/** What a stock model does otherwise than the run, in a sentence each. */
export function limitsOf(network: Network): string[] {
  return [
    ...weightNotes(network),
    ...activationNotes(network),
    ...cacheNotes(network),
    ...contextNotes(network),
  ];
}

function weightNotes(network: Network): string[] {
  const { bits, group } = network.options.quantizers.weights;
  if (bits >= 16) return ['Weights are not rounded; they are stored as float16.'];
  const stored = storageBits(bits);
  const blocks = blocksInWords(network);
  return [
    ...(stored === bits ? [] : [`Codes of ${bits} bits are stored in ${stored}.`]),
    ...(group === 0 ? [`The one scale of a row is repeated for each block of ${blocks} columns.`] : []),
  ];
}

/** Bits of activations in the place of a run's: stock products with rounded weights round them to 8, others not at all. */
export function activationsOf(weights: Bits, activations: Bits): Bits {
  return weights >= 16 || activations >= 16 ? 16 : 8;
}

function activationNotes(network: Network): string[] {
  const { weights, input } = network.options.quantizers;
  if (input.bits >= 16) return [];
  if (weights.bits >= 16)
    return [
      `Activations are not rounded (${formatCount(input.bits, 'bit')} in the run): weights of 16 bits have no product with rounded ones.`,
    ];
  const blocks = blocksInWords(network);
  const scales = `symmetrically to 8 bits, with one scale for each block of ${blocks} channels`;
  if (input.bits === 8) return [`Activations are rounded ${scales}; the run has scales of its own settings.`];
  return [
    `The run rounds activations to ${formatCount(input.bits, 'bit')}, for which ONNX Runtime has no product: here they are rounded ${scales}. Compare with a run of 8-bit activations.`,
  ];
}

function cacheNotes({ options: { quantizers, maps } }: Network): string[] {
  const { keys, values } = quantizers;
  if (keys.bits >= 16 && values.bits >= 16) return [];
  const map = maps['query-key'];
  const online = map && map.kind !== 'diagonal' ? symbolOf('query-key', map) : null;
  return [
    `Keys and values stay float32 (keys ${keys.bits}, values ${values.bits} bits in the run).`,
    ...(online
      ? [`${online} is left out: without rounding of keys it cancels in their products with queries.`]
      : []),
  ];
}

function contextNotes({ checkpoint: { config } }: Network): string[] {
  const length = contextLength(config);
  if (length === config.maxPositions) return [];
  return [
    `The context is ${length} tokens instead of ${config.maxPositions}: longer texts turn all their positions by other angles.`,
  ];
}
