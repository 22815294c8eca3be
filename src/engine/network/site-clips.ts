/** Clip ratios of single sites of single layers, which take the place of those that quantizers are given. */
import type { Site } from '../../protocol/block.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { LayerQuantizers } from './layer-shape.ts';
import { type NetworkQuantizers, networkQuantizers, quantizersAt } from './network-quantizers.ts';

/** Of both ends of a site's range, or of each. */
export type SiteClip = number | { readonly upper: number; readonly lower: number };

/** By layer the ratios of its sites; sites that are absent keep theirs. */
export type SiteClips = readonly Readonly<Partial<Record<Site, SiteClip>>>[];

/** A network's quantizers with the ratios that its sites have. */
export function withClips(network: NetworkQuantizers, clips: SiteClips): NetworkQuantizers {
  return networkQuantizers(
    network.quantizers,
    clips.map((own, layer) => [layer, clipped(quantizersAt(network, layer), own)] as const),
  );
}

function clipped(quantizers: LayerQuantizers, clips: SiteClips[number]): LayerQuantizers {
  const at = (site: Site, quantizer: ActivationQuantizer): ActivationQuantizer => {
    const clip = clips[site];
    if (clip === undefined) return quantizer;
    if (typeof clip === 'number') return { ...quantizer, clipRatio: clip };
    return { ...quantizer, clipRatio: clip.upper, lowerRatio: clip.lower };
  };
  const { input, gateUpInput = input, outputInput, downInput, keys, values } = quantizers;
  const own = {
    input: at('attention-input', input),
    outputInput: at('o-input', outputInput),
    downInput: at('down-input', downInput),
    keys: at('key', keys),
    values: at('value', values),
  };
  const gateUp = at('mlp-input', gateUpInput);
  const { gateUpInput: _, ...others } = quantizers;
  return { ...others, ...own, ...(!equal(gateUp, own.input) && { gateUpInput: gateUp }) };
}

const equal = (a: ActivationQuantizer, b: ActivationQuantizer): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
