import { attributionTexts } from './attribution-strings.ts';
import type { Translate } from './common.ts';
import { absentTexts, beginTexts, figureTexts, siteNames } from './words.ts';

/** Every text of the layers panel. */
export function layersStrings(t: Translate) {
  return { ...headTexts(t), ...chartTexts(t), ...emptyTexts(t), attribution: attributionTexts(t) };
}

function headTexts(t: Translate) {
  return {
    panel: t('Layers'),
    absent: absentTexts(t),
    notMeasured: t('{0} has no activation statistics'),
    notMeasuredText: t('"Measure Activations" of its experiment makes them with its rotations.'),
    run: t('Run'),
    layer: t('Layer'),
    site: t('Site'),
    layerNumber: t('layer {0}'),
    previousLayer: t('Previous layer'),
    nextLayer: t('Next layer'),
    sites: siteNames(t),
    before: t('before'),
    after: t('after'),
    beforeRotation: t('before {0}'),
    afterRotation: t('after {0}'),
    noRotation: t('no rotation acts here'),
    rotation: t('rotation'),
    kurtosis: t('kurtosis'),
    kurtosisAxis: t('kurtosis (3 = Gaussian)'),
    sqnr: t('SQNR'),
    takenOut: { bias: t('SQNR with the bias, without it'), mean: t('SQNR with the mean, without it') },
    decibel: t('{0} dB'),
    peak: t('largest'),
    sigma: t('{0} σ'),
    worstChannel: t('worst channel'),
    notQuantized: t('not quantized'),
  };
}

function chartTexts(t: Translate) {
  return {
    histogram: t('Activation histogram'),
    histogramAbout: t('Values of {0} tokens in {1} bins, one axis for both'),
    ...gridTexts(t),
    logCount: t('log counts'),
    count: t('count'),
    value: t('activation'),
    bin: t('bin'),
    channels: t('Channel maxima'),
    channelsAbout: t('max |x| of each of {0} channels'),
    channelsBlocks: t('max |x| of {0} channels, {1} to a cell'),
    sorted: t('sorted'),
    channel: t('channel'),
    rank: t('rank'),
    maximum: t('max |x|'),
    ...depthTexts(t),
  };
}

/** Levels of the grid under a histogram. */
function gridTexts(t: Translate) {
  return {
    gridAbout: t(
      'ticks: the {0} levels of the {1}-bit {2} grid over the widest token; a token’s own grid is narrower',
    ),
    gridFine: t('the {0} levels of the {1}-bit {2} grid reach from end to end of the bracket'),
    gridHead: t('each head has its own'),
    gridGroup: t('each group has its own'),
    gridMedian: t(
      'ticks: the {0} levels of the {1}-bit {2} grid of the median {3}; half of all {4} have a finer one',
    ),
    gridMedianFine: t(
      'bracket: the reach of the {0} levels of the {1}-bit {2} grid of the median {3}; half of all {4} have a finer one',
    ),
    share: { token: t('token'), head: t('head of a token'), group: t('group of a token') },
    shares: { token: t('tokens'), head: t('heads'), group: t('groups') },
    gridStep: t('step {0}'),
    symmetric: t('symmetric'),
    asymmetric: t('asymmetric'),
    gridLevels: t('{0} levels'),
  };
}

/** The map of layers and sites, and lines over the layers. */
function depthTexts(t: Translate) {
  return {
    heatMap: t('Layers and sites'),
    heatMapAbout: t('The stronger, the worse; click or use the arrow keys to go there'),
    measure: t('Measure'),
    measures: {
      'sqnr-after': t('SQNR after'),
      'sqnr-before': t('SQNR before'),
      gain: t('SQNR gained'),
      'error-after': t('error after'),
      'error-before': t('error before'),
      'kurtosis-after': t('kurtosis after'),
      'kurtosis-before': t('kurtosis before'),
    },
    percent: t('{0} %'),
    beside: t('Beside'),
    noOther: t('no other run'),
    notThere: t('It has not measured this site of this layer.'),
    showLine: t('Show the line {0}'),
    sqnrDepth: t('SQNR over depth'),
    sqnrDepthAbout: t('Higher is better; click or drag to choose a layer'),
    kurtosisDepth: t('Kurtosis over depth'),
    kurtosisDepthAbout: t('3 for a Gaussian, lower is better; log axis'),
    ...figureTexts(t),
    histogramSummary: t('{0}. Before: largest {1} σ, kurtosis {2}. After: largest {3} σ, kurtosis {4}.'),
    channelsSummary: t('{0}. Before: largest {1} in channel {2}. After: largest {3} in channel {4}.'),
    depthSummary: t('{0}. Layer {1}: before {2}, after {3}.'),
    depthHelp: t('Arrow keys choose a layer.'),
  };
}

function emptyTexts(t: Translate) {
  return {
    empty: {
      title: t('No activation statistics yet'),
      text: t(
        'Every optimize run measures the inputs of the linear layers, the queries, keys and values, before and after rotation. Their histograms, channel maxima, kurtosis and SQNR are drawn here for each layer.',
      ),
      time: t('It is one pass over up to 8192 tokens of the calibration text, at the end of a run.'),
      ...beginTexts(t),
    },
  };
}

export type LayersStrings = ReturnType<typeof layersStrings>;
