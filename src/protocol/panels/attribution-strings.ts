import type { RoundedPart } from '../block.ts';
import type { ExceptionTarget, LayerChoice } from './attribution.ts';
import type { Translate } from './common.ts';
import { siteNames } from './words.ts';

function partNames(t: Translate): Readonly<Record<RoundedPart, string>> {
  const weight = t('{0} weight');
  const of = (name: string) => weight.replace('{0}', name);
  const { query: _, ...sites } = siteNames(t);
  return {
    ...sites,
    'q-weight': of('q_proj'),
    'k-weight': of('k_proj'),
    'v-weight': of('v_proj'),
    'o-weight': of('o_proj'),
    'gate-weight': of('gate_proj'),
    'up-weight': of('up_proj'),
    'down-weight': of('down_proj'),
  };
}

function targetNames(t: Translate): Readonly<Record<ExceptionTarget, string>> {
  return {
    'qkv-activations': t('q/k/v input'),
    'o-activations': t('o_proj input'),
    'gate-up-activations': t('gate/up input'),
    'down-activations': t('down_proj input'),
    keys: t('keys'),
    values: t('values'),
    'qkv-weights': t('q/k/v weights'),
    'o-weights': t('o_proj weight'),
    'gate-up-weights': t('gate/up weights'),
    'down-weights': t('down_proj weight'),
  };
}

function layerChoices(t: Translate): Readonly<Record<LayerChoice, string>> {
  return {
    'worst:1': t('the costliest layer'),
    'worst:2': t('the 2 costliest layers'),
    'worst:4': t('the 4 costliest layers'),
    'worst:8': t('the 8 costliest layers'),
    all: t('all layers'),
  };
}

/** Where quantization costs the loss. */
export function attributionTexts(t: Translate) {
  return {
    title: t('Where the loss goes'),
    none: t(
      'Which layers and sites cost the perplexity, and what would more bits there buy? "Attribute Loss…" estimates it for every rounding, in three passes over some of the calibration text, with the rotations and rounded weights of this run.',
    ),
    noneTime: t(
      'It takes as long as a few evaluations, and can also measure perplexity against average bits.',
    ),
    attribute: t('Attribute loss…'),
    about: t('Nats per predicted token, {0}, weights by {1}, {2} tokens of the calibration text'),
    loss: t('loss'),
    perplexity: t('perplexity'),
    sumOfRises: t('sum of single rises'),
    ofWhole: t('{0} ({1} of the whole)'),
    interaction: t('together beyond that'),
    map: t('Rise of the loss by layer and site'),
    mapAbout: t('The stronger, the more it costs; the row of sums has a scale of its own. Click goes there'),
    sum: t('all sites'),
    allLayers: t('all layers'),
    measure: t('Measure'),
    partSum: t('{0}  {1}'),
    measures: {
      rise: t('rise if this alone is rounded'),
      share: t('share of the whole rise'),
      'measured rise': t('rise, measured'),
      'measured fall': t('fall if this alone is not rounded, measured'),
    },
    nats: t('{0} nats'),
    parts: partNames(t),
    curve: t('Perplexity against bits'),
    curveAbout: t('Average bits of what is multiplied, 8 bits in the costliest places; lower is better'),
    averageBits: t('average bits'),
    more: t('at more bits'),
    target: t('More bits for'),
    layersOf: t('in'),
    bits: t('bits'),
    put: t('Put into experiment…'),
    point: t('{0} bits'),
    use: t('Use these exceptions…'),
    targets: targetNames(t),
    layerChoices: layerChoices(t),
  };
}
