import { h } from '../shared/dom.ts';
import { lineSwatch } from '../shared/swatch.ts';
import type { Theme } from '../shared/theme.ts';

/** Runs by their places: a letter, and dashes that tell their lines apart without colours. */
export const LETTERS: readonly string[] = ['A', 'B', 'C', 'D', 'E'];
export const DASHES: readonly (readonly number[])[] = [
  [1, 0],
  [7, 3],
  [2, 3],
  [8, 3, 2, 3],
  [12, 4],
];

/** The line and the letter of a run. */
export function lineSign(place: number, { runs }: Theme): HTMLElement {
  const sign = lineSwatch(runs[place % runs.length]!, DASHES[place % DASHES.length]!);
  return h('span', { class: 'swatch-label sign' }, sign, h('span', { class: 'letter' }, LETTERS[place]!));
}
