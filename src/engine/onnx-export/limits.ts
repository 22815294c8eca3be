/** What a target can express of a network, and what it does in another way. */
import type { Bits } from '../../config/index.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import type { ExportTarget } from '../../protocol/export-formats.ts';
import { formatBytes, formatCount } from '../../protocol/text.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import { cacheFormsOf, tokenCacheBytes } from '../network/cache-form.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { distinctQuantizers, type NetworkQuantizers } from '../network/network-quantizers.ts';
import { productsOf } from '../network/packed-weights.ts';
import { symbolOf } from '../network/seams.ts';
import { blockOf, storageBits } from './block-weight.ts';
import { contextLength } from './rotary-tables.ts';
import type { TableReport } from './token-tables.ts';

/** GroupQueryAttention takes heads of multiples of so many channels. */
const HEAD_MULTIPLE = 8;

/** What decides whether a target has a place for a network. */
export interface TargetQuestion extends NetworkQuantizers {
  readonly target: ExportTarget;
  readonly checkpoint: Pick<Checkpoint, 'dir' | 'config'>;
  /** The method that rounds the weights, and whether to numbers that no grid holds. */
  readonly method: string;
  readonly dense: boolean;
}

/** @throws UserError `export/head-size`, `export/no-grid`, `export/group-size`, `export/exceptions` for what has no place there. */
export function expectExpressible(question: TargetQuestion): void {
  const { target, checkpoint, quantizers, method, dense } = question;
  if (target === 'stock') expectHeadSize(checkpoint);
  if (dense)
    throw new UserError(
      'export/no-grid',
      `The method ${method} rounds the weights of this run to numbers that no grid of rows or groups holds; ${PRODUCTS[target]} has whole numbers times a scale.`,
      'Make a run with another method for weights, such as the default.',
    );
  const { config } = checkpoint;
  if (target === 'native') expectOneCache(question);
  if (target === 'native') expectNoWholeTokens(question);
  const isPacked = target === 'native' && productsOf(question, config, false).others.length === 0;
  if (quantizers.weights.bits < 16 && !isPacked) weightBlocks(config, quantizers.weights);
}

/** The inputs of a model that hold the cache have rows of one size for all layers. */
function expectOneCache(network: NetworkQuantizers): void {
  // Ends of the range leave the form of codes and scales alone.
  const forms = distinctQuantizers(network).map(({ keys, values }) =>
    JSON.stringify([keys, values].map(({ lowerRatio: _, ...form }) => ({ ...form, clipRatio: 1 }))),
  );
  if (new Set(forms).size === 1) return;
  throw new UserError(
    'export/exceptions',
    'quantization.exceptions gives some layers other keys or values than the others; the caches of a native model have the same form in all layers.',
    'Choose --target stock, whose keys and values are float32, or make a run without these exceptions.',
  );
}

/** Positions of tokens are not known to the rounding of a native model. */
function expectNoWholeTokens(network: NetworkQuantizers): void {
  if (distinctQuantizers(network).every(({ wholeTokens }) => wholeTokens === undefined)) return;
  throw new UserError(
    'export/first-tokens',
    'The first tokens of keys or values stay at 16 bits (firstTokens); a native model rounds those of all tokens.',
    'Choose --target stock, whose keys and values are float32, or make a run with firstTokens 0.',
  );
}

const PRODUCTS: Readonly<Record<ExportTarget, string>> = {
  stock: 'MatMulNBits of ONNX Runtime',
  native: 'Int4MatMul',
};

function expectHeadSize({ dir, config: { headDim } }: TargetQuestion['checkpoint']): void {
  if (headDim % HEAD_MULTIPLE === 0) return;
  throw new UserError(
    'export/head-size',
    `The heads of ${dir} have ${headDim} channels; GroupQueryAttention of ONNX Runtime takes multiples of ${HEAD_MULTIPLE}.`,
    'Choose --target native, whose attention takes any number, or a model with other heads.',
  );
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

/** What became of the tables of tokens. */
export type WrittenTables = Readonly<Record<'embeddings' | 'head', TableReport>>;

/** What a model does otherwise than the run, in a sentence each. */
export function limitsOf(network: Network, target: ExportTarget, tables: WrittenTables): string[] {
  const notes =
    target === 'stock'
      ? [weightNotes(network), activationNotes(network), cacheNotes(network), exceptionNotes(network)]
      : [productNotes(network), cacheForm(network), BATCH_NOTES];
  return [...notes, contextNotes(network), tableNotes(tables, network.checkpoint.config)].flat();
}

const BATCH_NOTES = ['All texts of a batch have the same number of tokens: there is no mask.'];

/** Which products are not of whole numbers. */
function productNotes({ checkpoint: { config }, options }: Network): string[] {
  const { bits } = options.quantizers.weights;
  if (bits >= 16) return [UNROUNDED_WEIGHTS];
  const { others } = productsOf(options, config, false);
  return others.map(({ linears, reason }) => {
    const which = linears.length === LINEARS.length ? 'All products' : `Products of ${linears.join(', ')}`;
    return `${which} are of float32 numbers, ${codesInWords(options, linears)}: ${reason}.`;
  });
}

/** How the weights of products of numbers are stored. */
function codesInWords(network: NetworkQuantizers, linears: readonly Linear[]): string {
  const found = distinctQuantizers(network).flatMap((quantizers) =>
    linears.map((linear) => weightQuantizer(linear, quantizers).bits),
  );
  const codes = [...new Set(found.filter((bits) => bits < 16).map(storageBits))].sort((a, b) => a - b);
  return `with codes of weights in ${codes.join(' or ')} bits`;
}

/** How keys and values are kept. */
function cacheForm({ checkpoint: { config }, options }: Network): string[] {
  const { quantizers } = options;
  const { keys, values } = quantizers;
  if (cacheFormsOf(quantizers))
    return [
      `Keys and values are codes of ${keys.bits} and ${values.bits} bits with their scales: ${tokenCacheBytes(config, options)} bytes a token.`,
    ];
  if (keys.bits >= 16 && values.bits >= 16) return [];
  return [
    `Keys and values are kept as float32, rounded as in the run (keys ${keys.bits}, values ${values.bits} bits).`,
  ];
}

function tableNotes(tables: WrittenTables, { vocabSize, hiddenSize }: ModelConfig): string[] {
  const names = { embeddings: 'Embeddings are', head: 'Rows of the output layer are' } as const;
  return (['embeddings', 'head'] as const).flatMap((name) => {
    const { bits, bytes, error } = tables[name];
    if (error === null) return [];
    const before = formatBytes(2 * vocabSize * hiddenSize);
    const off = `off by ${(100 * error).toPrecision(2)} % of their size`;
    return [`${names[name]} rounded to ${bits} bits: ${formatBytes(bytes)} instead of ${before}, ${off}.`];
  });
}

const UNROUNDED_WEIGHTS = 'Weights are not rounded; they are stored as float16.';

function weightNotes(network: Network): string[] {
  const { bits, group } = network.options.quantizers.weights;
  if (bits >= 16) return [UNROUNDED_WEIGHTS];
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
  const own = input.group === 0 ? 'scales of its own settings' : `one for each group of ${input.group}`;
  if (input.bits === 8) return [`Activations are rounded ${scales}; the run has ${own}.`];
  const groups = input.group === 0 ? '' : ` (the run has ${own})`;
  return [
    `The run rounds activations to ${formatCount(input.bits, 'bit')}, for which ONNX Runtime has no product: here they are rounded ${scales}${groups}. Compare with a run of 8-bit activations.`,
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

/** Stock products round activations to 8 bits, or not at all, whatever the bits of the run. */
function exceptionNotes({ options }: Network): string[] {
  if (options.exceptions === undefined) return [];
  return [
    'Of the exceptions of the run, weights have their own bits; activations, keys and values have not.',
  ];
}

function contextNotes({ checkpoint: { config } }: Network): string[] {
  const length = contextLength(config);
  if (length === config.maxPositions) return [];
  return [
    `The context is ${length} tokens instead of ${config.maxPositions}: longer texts turn all their positions by other angles.`,
  ];
}
