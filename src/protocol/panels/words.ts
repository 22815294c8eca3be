/** Words that panels, views and the status bar share: a thing has the same name everywhere. */
import type { MapSymbol, Site } from '../block.ts';
import type { PhaseName } from '../events.ts';
import type { RunState, Translate } from './common.ts';
import { fill } from './fill.ts';

export function siteNames(t: Translate): Readonly<Record<Site, string>> {
  return {
    'attention-input': t('q/k/v input'),
    query: t('queries'),
    key: t('keys'),
    value: t('values'),
    'o-input': t('o_proj input'),
    'mlp-input': t('gate/up input'),
    'down-input': t('down_proj input'),
  };
}

/** The tensors that a map acts on. */
export function mapPlaces(t: Translate): Readonly<Record<MapSymbol, string>> {
  return {
    R1: t('residual stream'),
    S: t('channels behind the norms'),
    R2: t('values inside each head'),
    H: t('heads of the o_proj input'),
    R3: t('queries and keys'),
    R4: t('input of down_proj'),
  };
}

export function runStates(t: Translate): Readonly<Record<RunState, string>> {
  return {
    running: t('running'),
    finished: t('finished'),
    paused: t('paused'),
    cancelled: t('cancelled'),
    interrupted: t('interrupted'),
    failed: t('failed'),
  };
}

export function phaseNames(t: Translate): Readonly<Record<PhaseName, string>> {
  return {
    download: t('Downloading'),
    load: t('Loading the model'),
    scan: t('Scanning the weights'),
    tokenize: t('Tokenizing'),
    prepare: t('Preparing the network'),
    'preserve-check': t('Checking that rotation preserves the function'),
    generate: t('Writing the training text'),
    train: t('Training the weights'),
    learn: t('Learning rotations'),
    fuse: t('Merging rotations'),
    round: t('Rounding the weights'),
    evaluate: t('Evaluating'),
    statistics: t('Measuring activations'),
    export: t('Writing the model'),
  };
}

/** What a cell of a table is, by its record or its event. */
interface NamedCell {
  readonly title: string;
  readonly bits: string;
  readonly seed: number;
  /** True where other seeds may give other numbers. */
  readonly seeded: boolean;
}

/** `SpinQuant had + GPTQ · 4-4-4 · seed 1`; what draws nothing has no seed. */
export function cellName({ title, bits, seed, seeded }: NamedCell, t: Translate): string {
  return [title, bits, ...(seeded ? [fill(t('seed {0}'), seed)] : [])].join(' · ');
}

/** The buttons of a figure, which is a chart or a table. */
export function figureTexts(t: Translate) {
  return {
    showTable: t('Table'),
    showChart: t('Chart'),
    showTableOf: t('Show {0} as a table'),
    showChartOf: t('Show {0} as a chart'),
    saveOf: t('Save {0}'),
    saveAs: { svg: t('Save as SVG'), png: t('Save as PNG'), 'vega-lite': t('Save as Vega-Lite') },
    copyValues: t('Copy values'),
  };
}

/** Said of a run that cannot be shown. */
export function absentTexts(t: Translate) {
  return {
    reading: t('Reading …'),
    deleted: t('The run {0} was deleted'),
    deletedText: t('Its folder is gone, and its numbers with it.'),
  };
}

/** The buttons of a panel that has nothing to show yet. */
export function beginTexts(t: Translate) {
  return {
    optimize: t('Optimize rotation'),
    newExperiment: t('New experiment'),
    newest: t('Show the newest run'),
  };
}
