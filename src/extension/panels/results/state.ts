import { type Experiment, experimentDifferences } from '../../../config/index.ts';
import type { RunName } from '../../../protocol/panels/common.ts';
import type { MatrixPart } from '../../../protocol/panels/matrix.ts';
import type {
  Comparison,
  ResultRun,
  ResultsMemory,
  ResultsState,
  TextResult,
} from '../../../protocol/panels/results.ts';
import type { ResultsStrings } from '../../../protocol/panels/results-strings.ts';
import type { PerplexityResult, ResultsFile, RunStatus } from '../../../runs/index.ts';
import { finite } from '../finite.ts';
import { flatSettings, methodName, paperBits } from './method.ts';
import { sampleOf } from './sample.ts';

/** A run with results. */
export interface ResultsSource {
  readonly name: RunName;
  readonly label: string | null;
  readonly starred: boolean;
  readonly status: RunStatus;
  readonly model: string;
  readonly results: ResultsFile;
  /** Paths relative to the experiment file. */
  readonly experiment: Experiment;
  readonly hasActivations: boolean;
}

export interface ResultsInput {
  readonly strings: ResultsStrings;
  readonly locale: string;
  readonly memory: ResultsMemory;
  readonly sources: readonly ResultsSource[];
  readonly withoutResults: number;
  readonly matrix: MatrixPart;
}

/** The complete state of the results panel. */
export function resultsState(input: ResultsInput): ResultsState {
  const { strings, locale, memory, sources, withoutResults, matrix } = input;
  const selected = memory.selected.filter((dir) => sources.some(({ name }) => name.dir === dir));
  return {
    strings,
    locale,
    remembered: { ...memory, selected },
    runs: sources.map(resultRun),
    withoutResults,
    comparison: compare(sources, selected),
    matrix,
  };
}

function resultRun({ name, results, experiment, ...source }: ResultsSource): ResultRun {
  const { label, starred, status, model, hasActivations } = source;
  return {
    ...name,
    label,
    starred,
    status,
    model,
    hasActivations,
    method: methodName(experiment),
    paperBits: paperBits(experiment.quantization),
    loss: results.loss && { first: finite(results.loss.first), last: finite(results.loss.last) },
    steps: results.steps,
    texts: results.perplexity.map((result) => textResult(result, experiment)),
    settings: flatSettings(experiment),
    sample: sampleOf(name.dir, experiment, results),
  };
}

/** JSON writes an infinite perplexity as null; the mean loss tells it from one that was not measured. */
function textResult(result: PerplexityResult, { evaluation }: Experiment): TextResult {
  const task = evaluation.perplexity.find(({ name }) => name === result.name);
  return {
    ...result,
    fullPrecision: finite(result.fullPrecision),
    quantized: finite(result.quantized),
    meanLoss: result.meanLoss ?? { fullPrecision: null, quantized: null },
    sequenceLength: task?.sequenceLength ?? null,
  };
}

function compare(sources: readonly ResultsSource[], selected: readonly string[]): Comparison | null {
  const [a, b] = selected.map((dir) => sources.find(({ name }) => name.dir === dir));
  if (!a || !b) return null;
  const differences = experimentDifferences(a.experiment, b.experiment).map(
    ({ path, a: left, b: right }) => ({
      path,
      a: settingText(left),
      b: settingText(right),
    }),
  );
  return { a: a.name, b: b.name, differences };
}

/** A value as the experiment file writes it; a dash for a key that one of the two lacks. */
function settingText(value: unknown): string {
  return value === undefined ? '–' : JSON.stringify(value);
}
