import type { Translate } from './common.ts';
import { matrixStrings } from './matrix-strings.ts';
import { beginTexts, runStates } from './words.ts';

/** Every text of the results panel. */
export function resultsStrings(t: Translate) {
  return {
    ...headTexts(t),
    ...columnTexts(t),
    ...rowTexts(t),
    ...comparisonTexts(t),
    ...emptyTexts(t),
    matrix: matrixStrings(t),
  };
}

function headTexts(t: Translate) {
  return {
    panel: t('Results'),
    title: t('Perplexity, lower is better'),
    runsView: t('Runs'),
    pivotView: t('Methods × bits'),
    view: t('View'),
    filter: t('Filter'),
    filterHint: t('Filter, e.g. gptq seed=1 ppl<7 bits:4-4-4'),
    unclear: t('No number to compare with: {0}'),
    columnMenu: t('Columns'),
    groupByExperiment: t('By experiment'),
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
      lossLast: t('last loss'),
      steps: t('steps'),
      rotations: t('rotations of'),
      seconds: t('duration'),
      peakBytes: t('memory'),
      age: t('age'),
      status: t('status'),
      experiment: t('experiment'),
    },
    status: runStates(t),
  };
}

function rowTexts(t: Translate) {
  return {
    fullPrecisionMethod: t('Full precision'),
    wholeNumbers: t('integer matmul'),
    simulated: t('simulated'),
    textSetting: t('{0} · {1} tokens × {2} windows'),
    textSettingShort: t('{0} · {1} windows'),
    meanOf: t('{0} seeds'),
    meanOfRotations: t('{0} rotations'),
    meanNote: t('Mean ± sample standard deviation over seeds; rotations that are measured again count once.'),
    best: t('best'),
    noBest: t('No best is marked at {0}: {1}'),
    doubts: {
      spread: t('another row comes nearer to the best one than the spread of their seeds.'),
      questions: t('another row comes nearer to the best one than the standard error of the questions.'),
      equal: t('the best rows are equal.'),
      draw: t('the best row drew by one seed, and more seeds would tell its spread.'),
    },
    rotationsOf: t('rotations of {0}'),
    rotationsOfFile: t('rotations of a file'),
    seedOf: t('seed {0}'),
    seen: t('measured on the text that it learned on'),
    starRun: t('Star {0}'),
    unstarRun: t('Remove the star of {0}'),
    selectRun: t('Compare {0}'),
    openExperiment: t('Open experiment'),
    openTraining: t('Training'),
    openLayers: t('Layers'),
    openText: t('Text'),
    actionsOf: t('{0}: {1}'),
    shown: t('{0} of {1} rows'),
    oneRow: t('{0} row'),
    rowsOf: t('{0} rows'),
    withoutResults: t('{0} runs have no results yet.'),
    oneWithoutResults: t('1 run has no results yet.'),
    noMatch: t('No run matches the filter.'),
    sortBy: t('Sort by {0}'),
    selectHint: t('Select two or more runs to see in what they differ.'),
    selectOther: t('Select one more run to compare with {0}.'),
    clear: t('Clear selection'),
    yes: t('yes'),
    no: t('no'),
    pivotCaption: t('Perplexity of {0}'),
  };
}

function comparisonTexts(t: Translate) {
  return {
    comparison: {
      title: t('What differs between {0} runs'),
      key: t('key'),
      settings: t('Settings'),
      sameSettings: t('Their settings are the same.'),
      provenance: t('Made with'),
      sameProvenance: t('Version, kernels, device and model are the same.'),
      outcome: t('Outcome'),
      layers: t('SQNR by layer, mean of sites after rotation, dB'),
      layer: t('layer {0}'),
      version: t('SpinQuant Lab'),
      runtime: t('ONNX Runtime'),
      kernels: t('kernels'),
      threads: t('threads'),
      device: t('device'),
      platform: t('platform'),
      model: t('model'),
      modelHash: t('SHA-256 of the model'),
      rotations: t('rotations'),
      ownRotations: t('its own'),
      fullPrecision: t('{0}, full precision'),
      perplexity: t('{0}, perplexity'),
      lossFirst: t('first loss'),
      lossLast: t('last loss'),
      inNats: t('nats per token'),
      orthogonality: t('max |RᵀR − I|'),
      rowOrthogonality: t('max |RRᵀ − I|'),
      seconds: t('duration'),
      memory: t('peak memory'),
      steps: t('steps'),
    },
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
