import type { Linear, SeamName, Site } from '../../../protocol/block.ts';

/** Half of a layer: a norm, the weights behind it, and the one weight that gives the half's output. */
export interface Half {
  readonly norm: SeamName;
  /** What the readers of the norm see. */
  readonly normSite: Site;
  readonly readers: readonly Linear[];
  /** The seam in front of the last weight. */
  readonly inner: SeamName;
  readonly innerSite: Site;
  readonly last: Linear;
  /** The program input that the half begins with. */
  readonly begins: 'x' | 'attended';
}

export const HALVES = {
  attention: {
    norm: 'attention-norm',
    normSite: 'attention-input',
    readers: ['q', 'k', 'v'],
    inner: 'value',
    innerSite: 'o-input',
    last: 'o',
    begins: 'x',
  },
  mlp: {
    norm: 'mlp-norm',
    normSite: 'mlp-input',
    readers: ['gate', 'up'],
    inner: 'up-down',
    innerSite: 'down-input',
    last: 'down',
    begins: 'attended',
  },
} as const satisfies Record<string, Half>;

export type HalfName = keyof typeof HALVES;
export const HALF_NAMES = ['attention', 'mlp'] as const satisfies readonly HalfName[];
