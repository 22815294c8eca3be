/** Contract of the part of the layers panel that shows where quantization costs the loss. Pages load it: it needs nothing. */
import type { AttributedCell } from '../attribution-sums.ts';
import { type Linear, ROUNDED_PARTS, type RoundedPart, type Site } from '../block.ts';

export interface CurvePoint {
  /** Average bits of what is multiplied. */
  readonly bits: number;
  readonly perplexity: readonly { readonly name: string; readonly quantized: number | null }[];
  /** What has more bits there, in words; empty where nothing has. */
  readonly exceptions: string;
}

export interface AttributionView {
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** How weights are rounded. */
  readonly weights: string;
  readonly tokens: number;
  /** Mean loss in nats per predicted token. */
  readonly loss: { readonly fullPrecision: number; readonly quantized: number };
  readonly layers: number;
  readonly cells: readonly AttributedCell[];
  /** The fewest bits first; empty where it was not measured. */
  readonly curve: readonly CurvePoint[];
}

/** Groups of linear layers as experiments name them, with what of a layer they round. */
export const EXCEPTION_TARGETS = {
  'qkv-activations': ['attention-input'],
  'o-activations': ['o-input'],
  'gate-up-activations': ['mlp-input'],
  'down-activations': ['down-input'],
  keys: ['key'],
  values: ['value'],
  'qkv-weights': ['q-weight', 'k-weight', 'v-weight'],
  'o-weights': ['o-weight'],
  'gate-up-weights': ['gate-weight', 'up-weight'],
  'down-weights': ['down-weight'],
} as const satisfies Readonly<Record<string, readonly RoundedPart[]>>;
export type ExceptionTarget = keyof typeof EXCEPTION_TARGETS;
export const TARGETS = Object.keys(EXCEPTION_TARGETS) as [ExceptionTarget, ...ExceptionTarget[]];

/** As experiments name layers. */
export const LAYER_CHOICES = ['worst:1', 'worst:2', 'worst:4', 'worst:8', 'all'] as const;
export type LayerChoice = (typeof LAYER_CHOICES)[number];

/** More bits than the rest; 16 leaves a place as it is. */
export const BIT_CHOICES = [8, 16] as const;
export type BitChoice = (typeof BIT_CHOICES)[number];

/** Where the linear layer of a weight reads. */
const READ_AT: Readonly<Record<Linear, Site>> = {
  q: 'attention-input',
  k: 'attention-input',
  v: 'attention-input',
  o: 'o-input',
  gate: 'mlp-input',
  up: 'mlp-input',
  down: 'down-input',
};

/** The site whose histogram tells of a part: what a weight is multiplied with stands for it. */
export function siteOfPart(part: RoundedPart): Site {
  const linear = (Object.keys(READ_AT) as Linear[]).find((name) => `${name}-weight` === part);
  return linear ? READ_AT[linear] : (part as Site);
}

/** Parts that something rounds, in the order of the data flow. */
export function partsOf({ cells }: Pick<AttributionView, 'cells'>): readonly RoundedPart[] {
  return ROUNDED_PARTS.filter((part) => cells.some((cell) => cell.part === part));
}
