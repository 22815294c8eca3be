/** The rows of docs/quality.md, as rows of an experiment's matrix. */
import type { ExperimentInput } from '../../../src/config/schema.ts';

type Quantization = NonNullable<ExperimentInput['quantization']>;
type Weights = NonNullable<Quantization['weights']>;

export interface QualityRow {
  readonly name: string;
  readonly title: string;
  /** The row of the product that it begins with. */
  readonly like: string;
  readonly quantization: Quantization;
  readonly rotation?: NonNullable<ExperimentInput['rotation']>;
  readonly scaling?: NonNullable<ExperimentInput['scaling']>;
  /** What running it costs beside SpinQuant with R3 and R4, in words; null for nothing. */
  readonly price: string | null;
}

/** Rows of the product that stand in the table as they are, before those of ours. */
const KNOWN_ROWS: readonly string[] = ['rtn', 'quarot-gptq', 'spinquant-had-gptq', 'peak-gptq'];

/** See docs/results.md, "Rounding for what layers really read". */
const OUTPUTS: Weights['gptq'] = { inputs: 'quantized', target: 'outputs', damping: 0.3 };
const RESIDUAL: Weights['gptq'] = { ...OUTPUTS, target: 'residual' };
/** Damping by which each does best on stories3M. */
const GPTAQ: Weights['gptq'] = { inputs: 'quantized', target: 'gptaq', damping: 0.1 };
const QRONOS: Weights['gptq'] = { ...OUTPUTS, target: 'qronos' };
const LEARNED_CLIP: Weights['gptq'] = { learnedClip: true };
const FIRST: Quantization = { keys: { firstTokens: 1 }, values: { firstTokens: 1 } };
const MEAN: Quantization = { keys: { offset: 'mean' } };
const SEARCHED = { clipRatio: 'searched' } as const;
const LEARNED = { clipRatio: 'learned' } as const;
const CLIPPED: Quantization = { activations: SEARCHED, keys: SEARCHED, values: SEARCHED };
const GROUP = 64;
const MASSIVE = { learning: { massiveWeight: 64 } } as const;
/** As published: R1 alone, and massive tokens weighted. */
const DFROT = { r2: 'hadamard', learning: { objective: 'procrustes', massiveWeight: 64 } } as const;

/** One ratio for all activations: a search of ratios takes as long as GPTQ, and finds no better ones on SmolLM2-135M. */
const fixed = (clipRatio: number): Quantization => ({
  activations: { clipRatio },
  keys: { clipRatio: 1 },
  values: { clipRatio: 1 },
});

const APART = { r2Per: 'kv-head' } as const;

const OF_FIRST = 'keys and values of one token at 16 bits';
const OF_KEYS = 'a row for each position, added to keys';
const OF_GROUPS = `a scale and a zero for ${GROUP} channels: 0.8 bits for each activation, 2.1 % of the operations (stories3M), at most 0.6 % of decoding (SmolLM2-135M, measured)`;

function added(
  title: string,
  quantization: Quantization,
): Pick<QualityRow, 'title' | 'like' | 'quantization'> {
  return { title: `Captured activations (peak), ${title}`, like: 'peak-gptq', quantization };
}

/** The best row without balanced channels. */
const THREE = 'three';
/** The best row has its channels balanced. */
const UNSCALED = { method: 'none' } as const;

const FLATQUANT = { method: 'flatquant' } as const;
const OF_MAPS =
  'three products with P₁ ⊗ P₂ in a layer, without R4: of the operations of its linear layers 9 % (stories3M), 22 % (stories260K), 5 % (SmolLM2-135M); 2.0 % of decoding, where R4 takes 0.3 % (SmolLM2-135M, measured)';

export const QUALITY_ROWS: readonly QualityRow[] = [
  {
    name: 'dfrot',
    title: 'Rows rounded and turned in turn (DFRot) + GPTQ',
    like: 'peak-gptq',
    quantization: {},
    rotation: DFROT,
    price: null,
  },
  { name: 'outputs', ...added('GPTQ for outputs', { weights: { gptq: OUTPUTS } }), price: null },
  { name: 'residual', ...added('GPTQ for the residual', { weights: { gptq: RESIDUAL } }), price: null },
  { name: 'gptaq', ...added('GPTAQ', { weights: { gptq: GPTAQ } }), price: null },
  { name: 'qronos', ...added('Qronos', { weights: { gptq: QRONOS } }), price: null },
  { name: 'sweeps', ...added('GPTQ and three sweeps', { weights: { gptq: { sweeps: 3 } } }), price: null },
  { name: 'act-order', ...added('GPTQ, act-order', { weights: { gptq: { actOrder: true } } }), price: null },
  { name: 'foem', ...added('GPTQ, FOEM', { weights: { gptq: { foem: 0.1 } } }), price: null },
  { name: 'magr', ...added('GPTQ, MagR', { weights: { gptq: { magr: 0.001 } } }), price: null },
  {
    name: 'weight-clip',
    ...added('GPTQ, clip ratios of weights learned', { weights: { gptq: LEARNED_CLIP } }),
    price: null,
  },
  {
    name: 'residual-weight-clip',
    ...added('GPTQ for the residual, clip ratios of weights learned', {
      weights: { gptq: { ...RESIDUAL, ...LEARNED_CLIP } },
    }),
    price: null,
  },
  { name: 'first', ...added('GPTQ, first token of the cache at 16 bits', FIRST), price: OF_FIRST },
  { name: 'mean', ...added('GPTQ, keys without their mean', MEAN), price: OF_KEYS },
  { name: 'clip', ...added('GPTQ, clip ratios searched', CLIPPED), price: null },
  {
    name: THREE,
    title: 'The three together: GPTQ for the residual, keys without their mean, clip ratios searched',
    like: 'best',
    quantization: {},
    scaling: UNSCALED,
    price: null,
  },
  { name: 'heads', ...added('GPTQ, R2 of each key/value head', {}), rotation: APART, price: null },
  {
    name: 'heads-best',
    title: 'The three, R2 of each key/value head',
    like: 'best',
    quantization: {},
    rotation: APART,
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'balanced',
    title: 'The best, channels before R2 balanced, too',
    like: 'best',
    quantization: {},
    scaling: { method: 'balance', balance: { values: true } },
    price: null,
  },
  {
    name: 'balanced-keys',
    title: 'The best, keys balanced against queries, too',
    like: 'best',
    quantization: {},
    scaling: { method: 'balance', balance: { keys: true } },
    price: null,
  },
  {
    name: 'best-weight-clip',
    title: 'The best, clip ratios of weights learned',
    like: 'best',
    quantization: { weights: { gptq: LEARNED_CLIP } },
    price: null,
  },
  {
    name: 'smoothed',
    title: 'The three, SmoothQuant behind the norms',
    like: 'best',
    quantization: {},
    scaling: { method: 'smoothquant' },
    price: 'a product with the gain of each norm',
  },
  {
    name: 'best-85',
    title: 'The three, activations at 0.85, keys and values not clipped',
    like: 'best',
    quantization: fixed(0.85),
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'balanced-85',
    title: 'The best, activations at 0.85, keys and values not clipped',
    like: 'best',
    quantization: fixed(0.85),
    scaling: { method: 'balance' },
    price: null,
  },
  {
    name: 'learned-clips',
    title: 'The three, clip ratios of both ends, learned',
    like: 'best',
    quantization: { activations: LEARNED, keys: LEARNED, values: LEARNED },
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'groups',
    title: `The three in groups of ${GROUP}`,
    like: 'best',
    quantization: { activations: { groupSize: GROUP } },
    scaling: UNSCALED,
    price: OF_GROUPS,
  },
  {
    name: 'best-groups',
    title: `The best in groups of ${GROUP}`,
    like: 'best',
    quantization: { activations: { groupSize: GROUP } },
    price: OF_GROUPS,
  },
  {
    name: 'groups-whole',
    title: `The three in groups of ${GROUP}, nothing clipped`,
    like: 'best',
    quantization: { ...fixed(1), activations: { clipRatio: 1, groupSize: GROUP } },
    scaling: UNSCALED,
    price: OF_GROUPS,
  },
  {
    name: 'massive',
    title: 'The three, massive tokens counted 64 times in learning',
    like: 'best',
    quantization: {},
    rotation: MASSIVE,
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'massive-85',
    title: 'The three, massive tokens counted 64 times, activations at 0.85, keys and values not clipped',
    like: 'best',
    quantization: fixed(0.85),
    rotation: MASSIVE,
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'massive-groups',
    title: `The three, massive tokens counted 64 times, in groups of ${GROUP}, nothing clipped`,
    like: 'best',
    quantization: { ...fixed(1), activations: { clipRatio: 1, groupSize: GROUP } },
    rotation: MASSIVE,
    scaling: UNSCALED,
    price: OF_GROUPS,
  },
  {
    name: 'massive-groups-48',
    title: `The same, GPTQ on 48 sequences`,
    like: 'best',
    quantization: {
      ...fixed(1),
      activations: { clipRatio: 1, groupSize: GROUP },
      weights: { gptq: { samples: 48 } },
    },
    rotation: MASSIVE,
    scaling: UNSCALED,
    price: OF_GROUPS,
  },
  {
    name: 'best-groups-48',
    title: `The best, likewise: massive tokens, groups of ${GROUP}, nothing clipped, 48 sequences`,
    like: 'best',
    quantization: {
      ...fixed(1),
      activations: { clipRatio: 1, groupSize: GROUP },
      weights: { gptq: { samples: 48 } },
    },
    rotation: MASSIVE,
    price: OF_GROUPS,
  },
  {
    name: 'kl-top',
    title: 'The three, R1 and R2 through the network (KL-Top) in place of captured activations',
    like: 'best',
    quantization: {},
    rotation: { learning: { objective: 'kl-top' } },
    scaling: UNSCALED,
    price: null,
  },
  {
    name: 'kl-scales',
    title: 'The three, scales learned through the network (KL-Top), also behind norms',
    like: 'best',
    quantization: {},
    scaling: { method: 'learned-scales', 'learned-scales': { norms: true } },
    price: 'a product with the gain of each norm',
  },
  {
    name: 'kl-scales-merged',
    title: 'The three, scales learned through the network (KL-Top) and merged',
    like: 'best',
    quantization: {},
    scaling: { method: 'learned-scales' },
    price: null,
  },
  {
    name: 'flatquant',
    title: 'The three with FlatQuant in place of R1 and R4',
    like: 'best',
    quantization: {},
    rotation: { r1: 'none', r2: 'hadamard', r4: false },
    scaling: FLATQUANT,
    price: OF_MAPS,
  },
  {
    name: 'best-flatquant',
    title: 'The three with FlatQuant in place of R4',
    like: 'best',
    quantization: {},
    rotation: { r4: false },
    scaling: FLATQUANT,
    price: OF_MAPS,
  },
];

/** What running a row costs beside SpinQuant with R3 and R4, in words; null for nothing. */
export function priceOf(method: string): string | null {
  const row = QUALITY_ROWS.find(({ name }) => name === method);
  const ofKeys = method === 'best' || row?.like === 'best' ? OF_KEYS : null;
  return [ofKeys, row?.price].filter((price) => price != null).join('; ') || null;
}

/** A row's title of today, or that of its numbers where the product has it. */
export function titleOf(
  method: string,
  entries: readonly { readonly method: string; readonly title: string }[],
): string {
  const row = QUALITY_ROWS.find(({ name }) => name === method);
  return row?.title ?? entries.find((entry) => entry.method === method)?.title ?? method;
}

/** Rows of the table, in its order. */
export const TABLE_ROWS: readonly string[] = [
  ...KNOWN_ROWS,
  ...QUALITY_ROWS.filter(({ like }) => like !== 'best').map(({ name }) => name),
  THREE,
  'best',
  ...QUALITY_ROWS.filter(({ name, like }) => like === 'best' && name !== THREE).map(({ name }) => name),
];
/** Also measured at W4A8KV8 and on tasks. */
export const BEST_ROWS: readonly string[] = ['peak-gptq', 'best', 'best-groups'];
