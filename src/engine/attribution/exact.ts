import type { RoundedPart } from '../../protocol/block.ts';
import { evenGates } from './gated-layer.ts';
import { type GatedNetwork, predicted, type Sequences } from './gated-network.ts';

/** What switching one rounding costs, in nats per predicted token. */
export interface Measured {
  readonly layer: number;
  readonly part: RoundedPart;
  /** Of the loss at full precision, with this rounding alone. */
  readonly rise: number;
  /** Of the quantized network's loss, without this rounding alone. */
  readonly fall: number;
}

/**
 * Measures every rounding by switching it: the layers before are those of one pass, the layers behind are computed
 * again. That takes about half as many evaluations as there are roundings, for either direction.
 * @yields the number of layers done.
 */
export async function* measureExactly(
  network: GatedNetwork,
  groups: readonly Sequences[],
): AsyncGenerator<number, Measured[]> {
  const tokens = groups.reduce((sum, group) => sum + predicted(group), 0);
  const last = network.layers;
  const starts = [];
  for (const group of groups) {
    const [exact, quantized] = [await network.residuals(group, 0), await network.residuals(group, 1)];
    const before = await network.loss(last, exact[last]!, group, 'exact');
    const after = await network.loss(last, quantized[last]!, group, 'quantized');
    starts.push({ group, exact, quantized, before, after });
  }
  const found: Measured[] = [];
  for (let layer = 0; layer < last; layer++) {
    for (const part of network.parts(layer)) {
      let [rise, fall] = [0, 0];
      for (const { group, exact, quantized, before, after } of starts) {
        const weight = predicted(group) / tokens;
        const with1 = await network.layer(layer, exact[layer]!, group, { ...evenGates(0), [part]: 1 });
        rise += weight * ((await network.loss(layer + 1, with1, group, 'exact')) - before);
        const without = await network.layer(layer, quantized[layer]!, group, { ...evenGates(1), [part]: 0 });
        fall += weight * (after - (await network.loss(layer + 1, without, group, 'quantized')));
      }
      found.push({ layer, part, rise, fall });
    }
    yield layer + 1;
  }
  return found;
}
