/** The one place that knows which quantization a site of a layer has. */
import type { Linear, Site } from '../protocol/block.ts';
import { EXCEPTION_SITES, type Exception, type ExceptionSite } from './schema-exceptions.ts';
import type { Quantization } from './schema-quantization.ts';

/** A part of a quantization that an exception may change. */
export const EXCEPTION_PARTS = ['activations', 'weights', 'keys', 'values'] as const;
export type ExceptionPart = (typeof EXCEPTION_PARTS)[number];

/** The linear layers of each group of an exception. */
export const LINEARS_OF_SITE: Readonly<Record<ExceptionSite, readonly Linear[]>> = {
  qkv: ['q', 'k', 'v'],
  o: ['o'],
  'gate-up': ['gate', 'up'],
  down: ['down'],
};

/** What the linear layers of each group read. */
export const INPUT_OF_SITE = {
  qkv: 'attention-input',
  o: 'o-input',
  'gate-up': 'mlp-input',
  down: 'down-input',
} as const satisfies Readonly<Record<ExceptionSite, Site>>;

/** The group that a linear layer is in. */
export function siteOfLinear(linear: Linear): ExceptionSite {
  const found = EXCEPTION_SITES.find((site) => LINEARS_OF_SITE[site].includes(linear));
  if (!found) throw new Error(`no site has ${linear}`);
  return found;
}

/** The groups that an exception is of, whether it names one or some. */
export function sitesOf({ sites }: Exception): readonly ExceptionSite[] {
  return typeof sites === 'string' ? [sites] : sites;
}

/** True where a text says which layers an exception is of: a list does. */
export function isLayersText(text: string): boolean {
  return /^(all|worst:[1-9]\d{0,4}|\d{1,5}(-\d{1,5})?)$/.test(text);
}

/** So many layers, to be chosen by what they cost; null where the exception names its layers. */
export function worstLayers({ layers }: Pick<Exception, 'layers'>): number | null {
  return typeof layers === 'string' && layers.startsWith('worst:') ? Number(layers.slice(6)) : null;
}

/** First and last layer of a range; null for a list, for all layers and for those to be chosen. */
export function rangeOf({ layers }: Exception): readonly [first: number, last: number] | null {
  if (typeof layers !== 'string' || !/^\d/.test(layers)) return null;
  const [first = 0, last = first] = layers.split('-').map(Number);
  return [first, last];
}

/** The highest layer that an exception names; null where it names none. */
export function lastLayer(exception: Exception): number | null {
  const { layers } = exception;
  return typeof layers === 'string' ? (rangeOf(exception)?.[1] ?? null) : Math.max(...layers);
}

/** True where an exception is of a layer. Those to be chosen are of none until they are. */
export function isOfLayer(exception: Exception, layer: number): boolean {
  const { layers } = exception;
  if (typeof layers !== 'string') return layers.includes(layer);
  const range = rangeOf(exception);
  return range ? range[0] <= layer && layer <= range[1] : layers === 'all';
}

/** The quantization of what a site of a layer holds. @param layer null for layers without exceptions. */
export function quantizationOfSite(
  quantization: Quantization,
  site: Site,
  layer: number | null,
): Quantization {
  const group = EXCEPTION_SITES.find((name) => INPUT_OF_SITE[name] === site);
  return changed(quantization, layer, (exception, part) => {
    if (part === 'keys' || part === 'values') return true;
    return part === 'activations' && group !== undefined && sitesOf(exception).includes(group);
  });
}

/** Settings of the grid of a weight. @param layer null for layers without exceptions. */
export function quantizationOfWeight(
  quantization: Quantization,
  linear: Linear,
  layer: number | null,
): Quantization['weights'] {
  const group = siteOfLinear(linear);
  const own = changed(
    quantization,
    layer,
    (exception, part) => part === 'weights' && sitesOf(exception).includes(group),
  );
  return own.weights;
}

/** What has 16 bits everywhere stays so: a network that is not quantized has no exceptions. */
function changed(
  quantization: Quantization,
  layer: number | null,
  isMeant: (exception: Exception, part: ExceptionPart) => boolean,
): Quantization {
  const { exceptions = [] } = quantization;
  if (layer === null) return quantization;
  let own = quantization;
  for (const exception of exceptions) {
    if (!isOfLayer(exception, layer)) continue;
    for (const part of EXCEPTION_PARTS) {
      const settings = exception[part];
      if (!settings || quantization[part].bits >= 16 || !isMeant(exception, part)) continue;
      const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
      own = { ...own, [part]: { ...own[part], ...given } };
    }
  }
  return own;
}

/** True where some place is quantized otherwise than the rest. */
export function hasExceptions(quantization: Quantization): boolean {
  return quantization.exceptions?.some((exception) => hasEffect(exception, quantization)) ?? false;
}

/** The exceptions as they decide a result; nothing where there are none. */
export function exceptionsSpec({ exceptions }: Quantization): Pick<Quantization, 'exceptions'> {
  return exceptions?.length ? { exceptions } : {};
}

/** The same of weights alone. */
export function weightExceptionsSpec({ exceptions = [] }: Quantization): {
  readonly exceptions?: readonly unknown[];
} {
  const own = exceptions.filter(({ weights }) => weights !== undefined);
  return own.length > 0
    ? { exceptions: own.map(({ layers, sites, weights }) => ({ layers, sites, weights })) }
    : {};
}

/** True where something is rounded: without exceptions, whatever has 16 bits stays as it is. */
export function isQuantized(quantization: Quantization): boolean {
  return EXCEPTION_PARTS.some((part) => quantization[part].bits < 16);
}

/** True where exceptions are to be chosen: within a budget, or in layers by what they cost. */
export function choosesExceptions(quantization: Quantization): boolean {
  const { budget, exceptions } = quantization;
  if (exceptions === undefined) return budget !== undefined && isQuantized(quantization);
  return exceptions.some(
    (exception) => worstLayers(exception) !== null && hasEffect(exception, quantization),
  );
}

/** Without a budget, and without layers to be chosen, where nothing that they would change is rounded. */
export function withoutIdleChoices(quantization: Quantization): Quantization {
  const { exceptions, budget, ...parts } = quantization;
  const own = exceptions?.filter(
    (exception) => worstLayers(exception) === null || hasEffect(exception, quantization),
  );
  return {
    ...parts,
    ...(own && (own.length > 0 || exceptions?.length === 0) && { exceptions: own }),
    ...(budget !== undefined && isQuantized(quantization) && { budget }),
  };
}

/** A network with 16 bits everywhere has no exceptions. */
function hasEffect(exception: Exception, quantization: Quantization): boolean {
  return EXCEPTION_PARTS.some((part) => exception[part] !== undefined && quantization[part].bits < 16);
}

/**
 * Settings as they are compared with those of a file: what a run chose of them is as the file leaves it open.
 * @param asked of the file.
 */
export function withoutChosen(then: Quantization, asked: Quantization): Quantization {
  const { exceptions, ...others } = then;
  if (asked.exceptions === undefined) return others.budget === undefined ? then : others;
  const own = (exceptions ?? []).map((exception, index) => {
    const wanted = asked.exceptions?.[index];
    const count = wanted && worstLayers(wanted);
    const isChosen = typeof exception.layers !== 'string' && exception.layers.length === count;
    return isChosen && wanted ? { ...exception, layers: wanted.layers } : exception;
  });
  return { ...others, exceptions: own };
}
