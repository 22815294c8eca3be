/** Names that more than one part of the product, or its manifest, must spell alike. */

export const PRODUCT_NAME = 'SpinQuant Lab';

/** ONNX domain of the custom operators, and its version. */
export const OPERATOR_DOMAIN = 'spinquant';
export const OPERATOR_DOMAIN_VERSION = 1;

export const EXPERIMENT_GLOB = '**/*.spinquant.json';

export const COMMANDS = {
  optimize: 'spinquant.optimizeRotation',
  evaluate: 'spinquant.evaluate',
  inspect: 'spinquant.inspectActivations',
  compare: 'spinquant.compareRuns',
  export: 'spinquant.exportRotations',
  cancel: 'spinquant.cancel',
  newExperiment: 'spinquant.newExperiment',
  showTraining: 'spinquant.showTraining',
  showLayers: 'spinquant.showLayers',
  showResults: 'spinquant.showResults',
} as const;

export const VIEWS = {
  layers: 'spinquant.layers',
  runs: 'spinquant.runs',
} as const;

export const PANELS = {
  training: 'spinquant.training',
  layers: 'spinquant.layersPanel',
  results: 'spinquant.results',
} as const;
