import type { Experiment } from '../../../config/index.ts';
import type { RunName } from '../../../protocol/panels/common.ts';
import type { MatrixPart } from '../../../protocol/panels/matrix.ts';
import type {
  ResultRun,
  ResultsMemory,
  ResultsState,
  RunLoss,
  RunProvenance,
  TextResult,
} from '../../../protocol/panels/results.ts';
import type { ResultsStrings } from '../../../protocol/panels/results-strings.ts';
import type { PerplexityResult, Provenance, ResultsFile, RunStatus } from '../../../runs/index.ts';
import { experimentName } from '../../runs/names.ts';
import { finite } from '../finite.ts';
import { compareRuns } from './comparison.ts';
import { flatSettings, methodName, paperBits } from './method.ts';
import { decidingSettings, sampleOf } from './sample.ts';

/** A run with results. */
export interface ResultsSource {
  readonly name: RunName;
  /** Name of the run folder. */
  readonly id: string;
  /** Absolute path. */
  readonly experimentFile: string;
  readonly label: string | null;
  readonly starred: boolean;
  readonly status: RunStatus;
  readonly model: string;
  readonly results: ResultsFile;
  /** Paths relative to the experiment file. */
  readonly experiment: Experiment;
  readonly provenance: Provenance | null;
  /** See `rotations-print.ts`; null where the run has no file of rotations. */
  readonly rotationsPrint: string | null;
  /** Places in `evaluation.perplexity` of texts that were learned on, too. */
  readonly seen: readonly number[];
  readonly hasActivations: boolean;
}

export interface ResultsInput {
  readonly strings: ResultsStrings;
  readonly locale: string;
  readonly memory: ResultsMemory;
  readonly sources: readonly ResultsSource[];
  readonly withoutResults: number;
  readonly matrix: MatrixPart;
  /** By run folder, for those that are compared: the mean SQNR of each layer after rotation in dB. */
  readonly layers: ReadonlyMap<string, readonly (number | null)[]>;
}

/** The complete state of the results panel. */
export function resultsState(input: ResultsInput): ResultsState {
  const { strings, locale, memory, sources, withoutResults, matrix, layers } = input;
  const prints = new Map(
    sources.flatMap(({ id, rotationsPrint }) => (rotationsPrint === null ? [] : [[id, rotationsPrint]])),
  );
  const names = new Map(sources.map(({ id, name }) => [id, name.name]));
  const selected = memory.selected.filter((dir) => sources.some(({ name }) => name.dir === dir));
  return {
    strings,
    locale,
    remembered: { ...memory, selected },
    runs: sources.map((source) => resultRun(source, prints, names)),
    withoutResults,
    deciding: differingSettings(sources),
    comparison: compareRuns(
      selected.flatMap((dir) => sources.find(({ name }) => name.dir === dir) ?? []),
      strings,
      layers,
    ),
    matrix,
  };
}

/** Paths of settings that decide numbers, where runs differ in them. */
function differingSettings(sources: readonly ResultsSource[]): string[] {
  const all = sources.map(({ experiment }) => decidingSettings(experiment));
  const paths = new Set(all.flatMap(Object.keys));
  return [...paths].filter((path) => new Set(all.map((settings) => settings[path])).size > 1);
}

function resultRun(
  source: ResultsSource,
  prints: ReadonlyMap<string, string>,
  names: ReadonlyMap<string, string>,
): ResultRun {
  const { name, results, experiment, id, provenance, experimentFile } = source;
  const { label, starred, status, model, hasActivations } = source;
  const seconds = Object.values(results.seconds);
  const { rotationsOf } = results;
  return {
    ...name,
    ...{ id, label, starred, status, model, hasActivations },
    experiment: { file: experimentFile, name: experimentName(experimentFile) },
    method: methodName(experiment),
    paperBits: paperBits(experiment.quantization),
    loss: lossOf(source),
    steps: results.steps,
    seconds: seconds.length === 0 ? null : finite(seconds.reduce((sum, value) => sum + value, 0)),
    peakBytes: results.peakBytes ?? null,
    measuredAt: results.measuredAt,
    texts: results.perplexity.map((result) => textResult(result, source)),
    settings: flatSettings(experiment),
    sample: sampleOf(source, prints),
    rotationsOf: rotationsOf
      ? { ...rotationsOf, name: rotationsOf.run && (names.get(rotationsOf.run) ?? rotationsOf.run) }
      : null,
    provenance: provenance && provenanceOf(provenance),
  };
}

/** Losses of runs that learned. */
function lossOf({ results, experiment }: ResultsSource): RunLoss | null {
  if (results.loss === null) return null;
  const { objective } = experiment.rotation.learning;
  const { first, last } = results.loss;
  const inNats = objective === 'cross-entropy';
  return { first: finite(first), last: finite(last), objective, inNats };
}

function provenanceOf({ model, ...found }: Provenance): RunProvenance {
  const { productVersion, ortVersion, kernels, runtime, threads, device, platform } = found;
  const modelHash = model.sha256;
  return { productVersion, ortVersion, kernels, runtime, threads, device, platform, modelHash };
}

/** JSON writes an infinite perplexity as null; the mean loss tells it from one that was not measured. */
function textResult(result: PerplexityResult, { experiment, seen }: ResultsSource): TextResult {
  const { perplexity } = experiment.evaluation;
  const place = perplexity.findIndex(({ name }) => name === result.name);
  const task = perplexity[place];
  return {
    ...result,
    seen: seen.includes(place),
    fullPrecision: finite(result.fullPrecision),
    quantized: finite(result.quantized),
    meanLoss: result.meanLoss ?? { fullPrecision: null, quantized: null },
    sequenceLength: task?.sequenceLength ?? null,
  };
}
