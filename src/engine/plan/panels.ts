/** Where the packed weights of a quantized network are kept, and under which key. */
import { LINEARS } from '../../protocol/block.ts';
import { assertUnchanged } from '../model/unchanged.ts';
import type { PanelStore } from '../network/kept-panels.ts';
import { distinctQuantizers } from '../network/network-quantizers.ts';
import { readBy } from '../network/packed-weights.ts';
import { PanelFiles } from '../rounding/panel-files.ts';
import { ownQuantizers, roundingSpec } from './networks.ts';
import { digestOf, type StepContext } from './step.ts';
import type { Quantized } from './steps/measures.ts';

/** @returns null where there is no place for them, or where products are not those of a deployed network. */
export function panelsOf(context: StepContext, quantized: Quantized): PanelStore | null {
  const { bench, places } = context;
  if (places.panels === null || quantized.integer !== true) return null;
  let key: Promise<string> | undefined;
  return new PanelFiles(places.panels, {
    key() {
      key ??= keyOf(context, quantized);
      return key;
    },
    check() {
      places.check();
      assertUnchanged(bench.checkpoint.files);
    },
  });
}

/** A digest of all that decides packed weights, and a packed output layer. */
async function keyOf(context: StepContext, { maps, weights, trained }: Quantized): Promise<string> {
  const { experiment, checkpoint, runtime, rounding } = context.bench;
  const quantizers = ownQuantizers(context.bench);
  return digestOf({
    kind: 'panels',
    model: await checkpoint.hash(),
    kernels: runtime.kernels,
    device: runtime.device.kind,
    maps: maps.digest(context.of(maps)),
    weights: weights?.digest(context.of(weights)),
    trained: trained?.digest(context.of(trained)),
    // To nearest, the network rounds by itself.
    rounding: [experiment.quantization.weights.method, rounding?.version ?? null],
    spec: roundingSpec(experiment, null, false),
    // Panels have a sum for each group of what reads them.
    groups: distinctQuantizers(quantizers).map((each) => LINEARS.map((linear) => readBy(linear, each).group)),
  });
}
