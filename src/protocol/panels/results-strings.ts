import type { Translate } from './common.ts';
import { matrixStrings } from './matrix-strings.ts';
import { beginTexts, runStates } from './words.ts';

/** Every text of the results panel. */
export function resultsStrings(t: Translate) {
  return { ...headTexts(t), ...columnTexts(t), ...rowTexts(t), ...emptyTexts(t), matrix: matrixStrings(t) };
}

function headTexts(t: Translate) {
  return {
    panel: t('Results'),
    title: t('Perplexity, lower is better'),
    runsView: t('Runs'),
    pivotView: t('Methods × bits'),
    view: t('View'),
    filter: t('Filter'),
    filterHint: t('Filter runs, e.g. gptq 4-4-4'),
    onlyChanged: t('Only what differs'),
    difference: t('Difference to full precision'),
    copyAs: t('Copy as'),
    formats: { markdown: t('Markdown'), latex: t('LaTeX'), csv: t('CSV') },
    copied: t('Copied {0} rows as {1}.'),
  };
}

function columnTexts(t: Translate) {
  return {
    columns: {
      selected: t('compare'),
      star: t('star'),
      run: t('run'),
      label: t('label'),
      model: t('model'),
      method: t('method'),
      bits: t('W-A-KV'),
      text: t('text'),
      windows: t('windows'),
      products: t('products'),
      fullPrecision: t('full precision'),
      quantized: t('perplexity'),
      delta: t('Δ to FP'),
      lossFirst: t('first loss'),
      lossLast: t('last loss'),
      steps: t('steps'),
      age: t('age'),
      status: t('status'),
    },
    status: runStates(t),
  };
}

function rowTexts(t: Translate) {
  return {
    fullPrecisionMethod: t('Full precision'),
    wholeNumbers: t('whole numbers'),
    simulated: t('simulated'),
    textSetting: t('{0} · {1} tokens × {2} windows'),
    textSettingShort: t('{0} · {1} windows'),
    meanOf: t('mean ± sd of {0} seeds'),
    bestOf: t('best of {0} runs'),
    best: t('best'),
    starRun: t('Star {0}'),
    unstarRun: t('Remove the star of {0}'),
    selectRun: t('Compare {0}'),
    openExperiment: t('Open experiment'),
    openTraining: t('Training'),
    openLayers: t('Layers'),
    openText: t('Text'),
    actionsOf: t('{0}: {1}'),
    shown: t('{0} of {1} rows'),
    withoutResults: t('{0} runs have no results yet.'),
    oneWithoutResults: t('1 run has no results yet.'),
    noMatch: t('No run matches the filter.'),
    sortBy: t('Sort by {0}'),
    selectHint: t('Select two runs to see in what their experiments differ.'),
    selectOther: t('Select one more run to compare with {0}.'),
    comparing: t('What differs between two runs'),
    noDifference: t('Their experiments are the same.'),
    key: t('key'),
    clear: t('Clear selection'),
    yes: t('yes'),
    no: t('no'),
    pivotCaption: t('Perplexity of {0}'),
  };
}

function emptyTexts(t: Translate) {
  return {
    empty: {
      title: t('No results yet'),
      text: t(
        'A run that evaluates perplexity puts its row here: the text, the bits of weights, activations and cache, the method, and the difference to full precision. Two selected rows show in what their experiments differ.',
      ),
      time: t('A text is measured at full precision and quantized, window by window, at the end of a run.'),
      ...beginTexts(t),
    },
  };
}

export type ResultsStrings = ReturnType<typeof resultsStrings>;
