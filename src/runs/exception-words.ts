import { type Exception, worstLayers } from '../config/index.ts';
import { formatCount } from '../protocol/text.ts';
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

/** `activations 8, weights 8 of down in layers 0-1 30`: what has how many bits, and where. */
export function exceptionLine({ sites, layers, ...parts }: Exception): string {
  const what = Object.entries(parts).map(([part, settings]) => `${part} ${settings?.bits ?? ''}`.trim());
  const isSited = parts.activations !== undefined || parts.weights !== undefined;
  const where = isSited ? ` of ${typeof sites === 'string' ? sites : sites.join(', ')}` : '';
  return `${what.join(', ')}${where} in ${layersText(layers)}`;
}

function layersText(layers: Exception['layers']): string {
  const worst = worstLayers({ layers });
  if (worst !== null) return `the ${formatCount(worst, 'layer')} where that costs most`;
  if (layers === 'all') return 'all layers';
  const ranges = typeof layers === 'string' ? layers : rangesOf(layers);
  return `${/^\d+$/.test(ranges) ? 'layer' : 'layers'} ${ranges}`;
}

/** `0-3 5` for layers in order. */
function rangesOf(layers: readonly number[]): string {
  const starts = layers.filter((layer) => !layers.includes(layer - 1));
  const ends = layers.filter((layer) => !layers.includes(layer + 1));
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start}-${ends[i]}`)).join(' ');
}
