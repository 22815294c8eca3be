import type { Translate } from './common.ts';
import { figureTexts, runStates, siteNames } from './words.ts';

/** Every text of the table of a matrix and of its pictures. */
export function matrixStrings(t: Translate) {
  return { ...tableTexts(t), ...detailTexts(t), ...pictureTexts(t) };
}

function tableTexts(t: Translate) {
  return {
    view: t('Table of a matrix'),
    experiment: t('Experiment'),
    caption: t('{0}: methods by bits of weights, activations and cache'),
    done: t('{0} of {1} cells done'),
    running: t('{0} · {1}'),
    fill: t('Fill table'),
    none: t('No experiment of this folder has a matrix.'),
    method: t('method'),
    perplexity: t('{0} · perplexity ↓'),
    accuracy: t('{0} · accuracy ↑'),
    averageBits: t('bits on average'),
    exceptions: t('Places with other bits'),
    time: t('time'),
    memory: t('peak memory'),
    showPublished: t('Published values'),
    publishedColumn: t('published {0}'),
    publishedNotes: t('About the published values'),
    doubtful: t('doubtful: {0}'),
    best: t('best'),
    seeds: t('{0} seeds'),
    seedsSoFar: t('{0} of {1} seeds'),
    open: t('{0}, {1}, {2}: {3}'),
    json: t('JSON'),
    copied: t('Copied the table as {0}.'),
    notes: t('Cells without numbers'),
    note: t('{0} at {1}: {2}'),
    someSeeds: t('{0} of {1} seeds without numbers: {2}'),
    status: {
      ...runStates(t),
      missing: t('not computed yet'),
      empty: t('cannot be computed'),
    },
  };
}

function detailTexts(t: Translate) {
  return {
    detailTitle: t('{0} · {1}'),
    detailCaption: t('Runs of {0} at {1}'),
    seed: t('seed'),
    state: t('status'),
    notDrawn: t('none drawn'),
    curve: t('Curve'),
    layers: t('Layers'),
    settings: t('Settings'),
    ofSeed: t('{0} of seed {1}'),
    reason: t('reason'),
    close: t('Close'),
  };
}

function pictureTexts(t: Translate) {
  return {
    ...figureTexts(t),
    pictures: t('Pictures'),
    bits: t('Bits'),
    measured: t('Measured'),
    site: t('Tensor'),
    linear: t('Linear layer'),
    allLinears: t('all linear layers (mean)'),
    sites: siteNames(t),
    save: t('Save {0} as {1}'),
    formats: { svg: t('SVG'), png: t('PNG'), 'vega-lite': t('Vega-Lite') },
    layer: t('layer'),
    before: t('before rotation'),
    nearest: t('{0}, to nearest'),
    beforeOf: t('{0}, before'),
    fullPrecision: t('full precision'),
    kinds: { perplexity: t('perplexity'), accuracy: t('accuracy') },
    axes: { seconds: t('seconds'), meanBits: t('mean bits of W, A and KV') },
    ...titleTexts(t),
    ...noPictureTexts(t),
    ...pointTexts(t),
  };
}

/** What a picture shows. */
function titleTexts(t: Translate) {
  return {
    titles: {
      spread: t('Spread over seeds'),
      kurtosis: t('Activation kurtosis over depth'),
      error: t('Activation error over depth'),
      'weight-kurtosis': t('Weight kurtosis over depth'),
      'weight-error': t('Weight error over depth'),
      'output-error': t('Output error of rounded weights over depth'),
      bits: t('Quality by bits'),
      seconds: t('Quality by time'),
      'mean-bits': t('Quality by mean bits'),
    },
    about: {
      spread: t('{0} of {1} at {2}: a point for each seed, a line from least to largest, a tick at the mean'),
      kurtosis: t('E[(x−µ)⁴] / σ⁴ of {0} at {1}; 3 is a Gaussian'),
      error: t('Σ(Q(x)−x)² / Σx² of {0} at {1}'),
      'weight-kurtosis': t('E[(w−µ)⁴] / σ⁴ of {0} at {1}; 3 is a Gaussian'),
      'weight-error': t('Σ(Q(w)−w)² / Σw² of {0} at {1}, rounded to nearest'),
      'output-error': t('Σ‖x(Q(W)−W)ᵀ‖² / Σ‖xWᵀ‖² of {0} at {1}, on the calibration text'),
      bits: t('{0} of {1}: mean over seeds, with its standard deviation'),
      seconds: t(
        '{0} of {1} at {2}; seconds of learning, rounding and evaluation; the line joins what nothing beats in both',
      ),
      'mean-bits': t('{0} of {1}; the line joins what nothing beats in both'),
    },
  };
}

/** Why there is no picture, and what helps. */
function noPictureTexts(t: Translate) {
  return {
    empty: {
      spread: t('No row at {0} has numbers of several seeds.'),
      kurtosis: t('No cell at {0} has activation statistics.'),
      error: t('No cell at {0} has activation statistics of a quantized tensor.'),
      'weight-kurtosis': t('No cell at {0} has statistics of its weights.'),
      'weight-error': t('No cell at {0} has statistics of rounded weights.'),
      'output-error': t('No cell at {0} has its weights rounded by a method that reports errors.'),
      bits: t('Nothing is measured yet.'),
      seconds: t('Nothing is measured yet.'),
      'mean-bits': t('Nothing is measured yet.'),
    },
    filled: t('{0} of {1} runs there are done; Fill table computes the others.'),
    listSeeds: t('List several in matrix.seeds.'),
    noneDrawn: t('None of them draws by a seed.'),
    setStatistics: t('Set matrix.statistics to true.'),
    olderStatistics: t(
      'Statistics of an earlier version have activations only: {0}. To measure weights, too, delete the runs of these cells and the folder .steps beside them, and fill the table again.',
    ),
  };
}

/** Points and lines in words, and columns of their numbers. */
function pointTexts(t: Translate) {
  return {
    beyond: t('{0}; ↑ stands before a value beyond the axis'),
    /** A picture in words: its title, then its parts. */
    summary: t('{0}. {1}'),
    summarySpread: t('{0}: mean {1}, from {2} to {3}, {4} seeds'),
    summaryDepth: t('{0}: from {1} in layer {2} to {3} in layer {4}'),
    summaryPoint: t('{0}: {1} at {2}'),
    front: t('on the front'),
    columns: {
      n: t('n'),
      mean: t('mean'),
      deviation: t('sd'),
      least: t('least'),
      largest: t('largest'),
      values: t('values'),
      bits: t('W-A-KV'),
      row: t('row'),
    },
  };
}

export type MatrixStrings = ReturnType<typeof matrixStrings>;
