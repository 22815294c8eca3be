/** Names that more than one part of the product, or its manifest, must spell alike. */
import { PANELS } from './panels/registry.ts';

export const PRODUCT_NAME = 'SpinQuant Lab';

export const EXPERIMENT_SUFFIX = '.spinquant.json';
export const EXPERIMENT_GLOB = `**/*${EXPERIMENT_SUFFIX}`;

/** Those of the panels are in `panels/registry.ts`. */
export const COMMANDS = {
  optimize: 'spinquant.optimizeRotation',
  evaluate: 'spinquant.evaluate',
  inspect: 'spinquant.inspectActivations',
  attribute: 'spinquant.attributeLoss',
  compare: 'spinquant.compareRuns',
  export: 'spinquant.exportRotations',
  cancel: 'spinquant.cancel',
  newExperiment: 'spinquant.newExperiment',
  newTable: 'spinquant.newTable',
  tryDemo: 'spinquant.tryDemo',
  importModel: 'spinquant.importModel',
  download: 'spinquant.downloadFromHub',
  showLog: 'spinquant.showLog',
  pause: 'spinquant.pause',
  resume: 'spinquant.resume',
  renameRun: 'spinquant.renameRun',
  labelRun: 'spinquant.labelRun',
  starRun: 'spinquant.starRun',
  unstarRun: 'spinquant.unstarRun',
  deleteRun: 'spinquant.deleteRun',
  revealRun: 'spinquant.revealRun',
  duplicateRun: 'spinquant.duplicateRun',
  copyRunPath: 'spinquant.copyRunPath',
  openRunExperiment: 'spinquant.openRunExperiment',
  deleteUnused: 'spinquant.deleteUnusedResults',
  refreshRuns: 'spinquant.refreshRuns',
  chooseExperiment: 'spinquant.chooseExperiment',
  sortLayersByDepth: 'spinquant.sortLayersByDepth',
  sortLayersByError: 'spinquant.sortLayersByError',
  filterLayers: 'spinquant.filterLayers',
  clearLayerFilter: 'spinquant.clearLayerFilter',
  choosePath: 'spinquant.choosePath',
} as const;

/** Every command of the manifest. */
export const COMMAND_IDS: readonly string[] = [
  ...Object.values(COMMANDS),
  ...Object.values(PANELS).map(({ command }) => command),
];

export const VIEWS = {
  layers: 'spinquant.layers',
  runs: 'spinquant.runs',
} as const;

export const VIEW_CONTAINER = 'spinquant';

/** Tools that language models may call. */
export const TOOLS = {
  start: 'spinquant_start_experiment',
  status: 'spinquant_get_status',
  results: 'spinquant_get_results',
  cancel: 'spinquant_cancel_experiment',
  export: 'spinquant_export_run',
} as const;

export const SETTINGS = {
  device: 'spinquant.device',
  threads: 'spinquant.threads',
  runsFolder: 'spinquant.runsFolder',
  workerMemoryLimit: 'spinquant.workerMemoryLimit',
  nodePath: 'spinquant.nodePath',
  gateIncrease: 'spinquant.gate.maxRelativeIncrease',
} as const;
