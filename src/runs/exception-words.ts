import type { BudgetPoint } from './attribution.ts';

/** `down activations 0-1 30`: what has more bits, and where. */
export function exceptionText({
  sites,
  layers,
  activations,
  weights,
  keys,
}: BudgetPoint['exceptions'][number]): string {
  const where = typeof layers === 'string' ? layers : rangesOf(layers);
  if (activations || weights) return `${sites} ${activations ? 'activations' : 'weights'} ${where}`;
  return `${keys ? 'keys' : 'values'} ${where}`;
}

/** `0-3 5` for layers in order. */
function rangesOf(layers: readonly number[]): string {
  const starts = layers.filter((layer) => !layers.includes(layer - 1));
  const ends = layers.filter((layer) => !layers.includes(layer + 1));
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start}-${ends[i]}`)).join(' ');
}
