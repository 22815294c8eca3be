import type { Linear, OffsetPart, Site } from '../../protocol/block.ts';
import type { HostTensor } from '../../protocol/tensor.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { ModelConfig } from '../model/config.ts';
import type { SeamMaps } from './seams.ts';

/** Sequences and tokens of one run of a layer graph. */
export interface BatchShape {
  readonly batch: number;
  readonly sequence: number;
  /** Rows of the residual where tokens share them ({@link RowSharing}); absent: one for each token. */
  readonly rows?: number;
  /** Tokens of a sequence that a cache has room for, where others may stand before these; absent: these are the first. */
  readonly capacity?: number;
}

/** Rows of the residual x [rows, d] in a run of a layer graph. */
export const residualRows = ({ batch, sequence, rows }: BatchShape): number => rows ?? batch * sequence;

/**
 * Which tokens share a row of the residual: those that end equal beginnings of their sequences. Outside of attention a
 * layer looks at one row at a time: norms, products and maps of channels do, and quantizers, of which none has a scale
 * for more than a token. So a row is computed once, to the same numbers as each of its tokens.
 */
export interface RowSharing {
  /** int64 [B·S], the row of each token. */
  readonly rowOfToken: HostTensor<BigInt64Array>;
  /** int64 [rows], for each row one of its tokens. */
  readonly tokenOfRow: HostTensor<BigInt64Array>;
}

/** The quantizers at every site of a layer. 16 bits anywhere means: left alone. */
export interface LayerQuantizers {
  readonly weights: WeightQuantizer;
  /** Of weights that are quantized in another way than the others. */
  readonly otherWeights?: Readonly<Partial<Record<Linear, WeightQuantizer>>>;
  /** Input of q, k, v and, unless it has another one, of gate, up: per token unless grouped. */
  readonly input: ActivationQuantizer;
  readonly gateUpInput?: ActivationQuantizer;
  /** Input of o: one scale per token and head where maps mix inside heads only, else as at the other inputs. */
  readonly outputInput: ActivationQuantizer;
  readonly downInput: ActivationQuantizer;
  /** Keys after RoPE and R3, per token and head. */
  readonly keys: ActivationQuantizer;
  readonly values: ActivationQuantizer;
  /** The part of keys that is taken out before they are quantized; nothing where absent. */
  readonly keyOffset?: OffsetPart;
  /** Tokens at the beginning of a text whose keys, and whose values, are not rounded; none where absent. */
  readonly wholeTokens?: WholeTokens;
  /** Numbers of a cache without codes; where absent, `cache-form.ts` says which. */
  readonly cachedNumbers?: CachedNumbers;
}

/** IEEE halves, or numbers as they are computed. */
export type CachedNumbers = 'float16' | 'float32';

export interface WholeTokens {
  readonly keys: number;
  readonly values: number;
}

/**
 * How prepared weights are held: as float32 numbers, as bfloat16 codes with a scale per row, or with codes packed into 4
 * bits for products of whole numbers, as far as the quantizers of the layer allow (`packed-weights.ts`). Derivatives need
 * numbers beside packed codes: `packed-and-numbers`. Where their products round what they are multiplied with to 8 bits,
 * codes of a byte with a scale per row are enough, a quarter of the memory: `packed-and-codes`.
 */
export type WeightForm = 'numbers' | 'codes' | 'packed' | 'packed-and-numbers' | 'packed-and-codes';

/** Everything that decides the graph of a layer; layers of one shape share it. */
export interface LayerShape extends BatchShape {
  readonly config: ModelConfig;
  /** Tokens that a query sees, itself included; null for all before it. */
  readonly window: number | null;
  readonly quantizers: LayerQuantizers;
  /** The maps at the seams. */
  readonly maps: SeamMaps;
  /** `numbers` where absent. */
  readonly weightForm?: WeightForm;
  /** True where rotated activations are rounded to codes of a byte, which a tape can keep. */
  readonly activationCodes?: boolean;
  /** Precision of products; `float32` where absent. */
  readonly precision?: Precision | undefined;
}

const SIXTEEN: ActivationQuantizer = { bits: 16, symmetric: true, group: 0, clipRatio: 1, includeZero: true };

/** A network in full precision. */
export const FULL_PRECISION: LayerQuantizers = {
  weights: { bits: 16, symmetric: true, group: 0, clipSearch: false },
  input: SIXTEEN,
  outputInput: SIXTEEN,
  downInput: SIXTEEN,
  keys: SIXTEEN,
  values: SIXTEEN,
};

/** The quantizer that reads a site; null where nothing is quantized: queries always, others at 16 bits. */
export function quantizerAt(site: Site, quantizers: LayerQuantizers): ActivationQuantizer | null {
  const { input, gateUpInput = input, outputInput, downInput, keys, values } = quantizers;
  const bySite: Readonly<Record<Site, ActivationQuantizer | null>> = {
    'attention-input': input,
    'mlp-input': gateUpInput,
    'o-input': outputInput,
    'down-input': downInput,
    key: keys,
    value: values,
    query: null,
  };
  const quantizer = bySite[site];
  return quantizer && quantizer.bits < 16 ? quantizer : null;
}

/** The quantizer of a weight. */
export function weightQuantizer(
  linear: Linear,
  { weights, otherWeights }: LayerWeightQuantizers,
): WeightQuantizer {
  return otherWeights?.[linear] ?? weights;
}

export type LayerWeightQuantizers = Pick<LayerQuantizers, 'weights' | 'otherWeights'>;
