/** Names of a consolidated checkpoint, which are those of Meta's own files. */
import type { Linear } from '../../protocol/block.ts';

export const CONSOLIDATED_FILE = 'consolidated.00.pth';
export const PARAMETERS_FILE = 'params.json';
export const EMBEDDINGS = 'tok_embeddings';
export const OUTPUT = 'output';
export const LAST_NORM = 'norm.weight';

const LINEAR_NAMES: Readonly<Record<Linear, string>> = {
  q: 'attention.wq',
  k: 'attention.wk',
  v: 'attention.wv',
  o: 'attention.wo',
  gate: 'feed_forward.w1',
  down: 'feed_forward.w2',
  up: 'feed_forward.w3',
};

const NORM_NAMES = { 'attention-norm': 'attention_norm', 'mlp-norm': 'ffn_norm' } as const;
export const NORMS = ['attention-norm', 'mlp-norm'] as const;
export type Norm = (typeof NORMS)[number];

/** Rows of these are turned in pairs of neighbours. */
export const ROTARY_LINEARS: readonly Linear[] = ['q', 'k'];

export const linearName = (layer: number, linear: Linear): string =>
  `layers.${layer}.${LINEAR_NAMES[linear]}`;

export const normName = (layer: number, norm: Norm): string => `layers.${layer}.${NORM_NAMES[norm]}.weight`;
