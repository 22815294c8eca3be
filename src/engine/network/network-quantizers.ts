/** The quantizers of a network, in which some layers may differ from the others. */
import type { LayerQuantizers, LayerWeightQuantizers } from './layer-shape.ts';

export interface NetworkQuantizers {
  /** Those of every layer that has no others. */
  readonly quantizers: LayerQuantizers;
  /** By layer. Layers of equal quantizers have the same object. */
  readonly exceptions?: ReadonlyMap<number, LayerQuantizers> | undefined;
}

/** The quantizers of a layer. */
export function quantizersAt({ quantizers, exceptions }: NetworkQuantizers, layer: number): LayerQuantizers {
  return exceptions?.get(layer) ?? quantizers;
}

/** Those of all layers, in their order. */
export function quantizersOfLayers(network: NetworkQuantizers, layers: number): LayerQuantizers[] {
  return Array.from({ length: layers }, (_, layer) => quantizersAt(network, layer));
}

/** Each of the quantizers that layers have, once. */
export function distinctQuantizers({ quantizers, exceptions }: NetworkQuantizers): LayerQuantizers[] {
  return [...new Set([quantizers, ...(exceptions?.values() ?? [])])];
}

/** A network's quantizers with those of each layer changed: equal ones stay the same object. */
export function changedQuantizers(
  network: NetworkQuantizers,
  change: (quantizers: LayerQuantizers) => LayerQuantizers,
): NetworkQuantizers {
  const changed = new Map(distinctQuantizers(network).map((each) => [each, change(each)] as const));
  const of = (quantizers: LayerQuantizers): LayerQuantizers => changed.get(quantizers) ?? quantizers;
  return networkQuantizers(
    of(network.quantizers),
    [...(network.exceptions ?? [])].map(([layer, quantizers]) => [layer, of(quantizers)]),
  );
}

/** Quantizers with those of some layers, of which equal ones become one object. */
export function networkQuantizers(
  quantizers: LayerQuantizers,
  others: Iterable<readonly [layer: number, LayerQuantizers]>,
): NetworkQuantizers {
  const known = new Map([[JSON.stringify(quantizers), quantizers]]);
  const exceptions = new Map<number, LayerQuantizers>();
  for (const [layer, own] of others) {
    const key = JSON.stringify(own);
    const same = known.get(key) ?? own;
    known.set(key, same);
    if (same !== quantizers) exceptions.set(layer, same);
  }
  return exceptions.size > 0 ? { quantizers, exceptions } : { quantizers };
}

/** The quantizers of weights alone. */
export function weightsAlone({ weights, otherWeights }: LayerWeightQuantizers): LayerWeightQuantizers {
  return { weights, ...(otherWeights && { otherWeights }) };
}
