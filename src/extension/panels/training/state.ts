import { methodTitle } from '../../../config/index.ts';
import type { Variant } from '../../../protocol/events.ts';
import type { Notice, Problem, RunName } from '../../../protocol/panels/common.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import type {
  FinalPerplexity,
  Note,
  RunCurves,
  TrainingMemory,
  TrainingRun,
  TrainingState,
} from '../../../protocol/panels/training.ts';
import type { TrainingStrings } from '../../../protocol/panels/training-strings.ts';
import { formatSeconds } from '../../../protocol/text.ts';
import type { RunHistory, RunRecord } from '../../../runs/index.ts';
import type { JobState } from '../../services.ts';
import { finite, sayNumber } from '../finite.ts';
import { columnsOf } from './history.ts';
import type { LearningFacts } from './learning.ts';
import { roundingErrors } from './rounding.ts';
import { judgeTraining } from './verdict.ts';
import { verdictText } from './verdict-text.ts';

/** A run as the panel needs it. */
export interface TrainingSource {
  readonly name: RunName;
  readonly model: string;
  readonly record: Pick<RunRecord, 'status' | 'error' | 'provenance'>;
  readonly history: RunHistory;
  /** From the experiment; its steps are for before the first one. */
  readonly learning: LearningFacts;
  /** Why its files could not be read; null when they were. */
  readonly unreadable: Problem | null;
}

/** The state of the run shown in the queue. */
export interface RunControl {
  readonly waiting: boolean;
  readonly running: boolean;
  readonly resumable: boolean;
}

/** @param jobs the states of the jobs of one run. */
export function runControl(jobs: readonly JobState[], resumable: boolean): RunControl {
  const running = jobs.includes('running');
  // While it runs, a job of the same run that waits changes nothing in how far it is.
  return { waiting: !running && jobs.includes('waiting'), running, resumable };
}

export interface TrainingInput {
  readonly strings: TrainingStrings;
  readonly memory: TrainingMemory;
  readonly shown: TrainingSource | null;
  /** In the place of a run. */
  readonly notice?: Notice | null;
  readonly control: RunControl;
  readonly overlays: readonly TrainingSource[];
  /** There are others that may be laid over it. */
  readonly canAdd: boolean;
}

/** The complete state of the training panel. */
export function trainingState(input: TrainingInput): TrainingState {
  const { strings, memory, shown, overlays, canAdd } = input;
  const sources = shown ? [shown, ...overlays] : [];
  const curves = sources.map((source, index) => runCurves(source, markOf(index), memory.smoothing));
  return {
    strings,
    remembered: memory,
    run: shown && trainingRun(shown, input.control, input),
    notice: shown === null ? (input.notice ?? null) : null,
    overlays: shown ? overlays.map(({ name }, index) => ({ ...name, mark: markOf(index + 1) })) : [],
    canAdd,
    curves,
    rounding: shown && roundingErrors(shown.history.rounded),
  };
}

const markOf = (index: number): string => String.fromCharCode('A'.charCodeAt(0) + index);

function runCurves({ name, history, learning }: TrainingSource, mark: string, smoothing: number): RunCurves {
  const { plannedSteps, gradientClip, objective, cayley } = learning;
  return {
    dir: name.dir,
    name: name.name,
    mark,
    of: history.progress.of || plannedSteps,
    gradientClip,
    objective,
    cayley,
    kept: 0,
    steps: columnsOf(history, smoothing).thin,
  };
}

function trainingRun(
  source: TrainingSource,
  control: RunControl,
  { strings, memory }: TrainingInput,
): TrainingRun {
  const { name, model, record, history, learning } = source;
  const { all } = columnsOf(history, memory.smoothing);
  return {
    ...name,
    model,
    status: record.status,
    waiting: control.waiting,
    composed: record.provenance?.kernels === 'composed',
    canPause: control.running && history.phase === 'learn',
    canCancel: control.running,
    canResume: control.resumable && !control.running && !control.waiting,
    learns: history.learns,
    step: history.steps.at(-1)?.step ?? 0,
    of: history.progress.of || learning.plannedSteps,
    secondsLeft:
      record.status === 'running' && history.phase === 'learn' ? history.progress.secondsLeft : null,
    verdict: verdictText(judgeTraining(all), strings),
    activity: record.status === 'running' ? activityText(history, strings) : null,
    problem: source.unreadable ?? problemOf(record, strings),
    notes: notesOf(history, strings),
    perplexity: perplexityOf(history),
    orthogonal: record.status === 'running' ? null : exactError(all.orthogonalityError),
  };
}

/** What is left of float32's own rounding needs no curve. */
const EXACT = 1e-6;

/** The largest of all, if none is above rounding. */
function exactError(errors: readonly (number | null)[]): number | null {
  const largest = errors.reduce<number>((most, error) => Math.max(most, error ?? Infinity), 0);
  return errors.length > 0 && largest < EXACT ? largest : null;
}

function activityText(history: RunHistory, strings: TrainingStrings): string | null {
  const { phase, progress } = history;
  const { evaluation, rounding, secondsLeft } = progress;
  if (evaluation) {
    const variant = evaluation.variant === 'quantized' ? strings.quantized : strings.fullPrecision;
    const { name, windowsDone, windows, runningPerplexity } = evaluation;
    const perplexity = sayNumber(runningPerplexity, (value) => value.toPrecision(4));
    return fill(strings.evaluating, name, variant, windowsDone, windows, perplexity);
  }
  if (rounding) {
    const { method, layersDone, layers, done } = rounding;
    const layer = Math.min(layersDone + 1, layers);
    const percent = Math.floor(100 * done);
    const text = fill(strings.roundingLayer, layer, layers, methodTitle(method), percent);
    return secondsLeft === null ? text : `${text} · ${fill(strings.left, formatSeconds(secondsLeft))}`;
  }
  return phase === null || phase === 'learn' ? null : `${strings.activity[phase]} …`;
}

function problemOf({ status, error }: TrainingSource['record'], strings: TrainingStrings): Problem | null {
  if (error) return { message: error.message, hint: error.hint };
  if (status === 'interrupted') return { message: strings.interruptedTitle, hint: strings.interruptedHint };
  return null;
}

const exponential = (value: number): string => value.toExponential(1);

function notesOf(history: RunHistory, strings: TrainingStrings): Note[] {
  const checks = history.preservation.map(({ where, relative, tolerance }): Note => {
    const passed = finite(relative) !== null && relative <= tolerance;
    const template = passed ? strings.preserved : strings.notPreserved;
    const capital = where.charAt(0).toUpperCase() + where.slice(1);
    const text = fill(template, capital, sayNumber(relative, exponential), sayNumber(tolerance, exponential));
    return { kind: passed ? 'passed' : 'warning', text };
  });
  const warnings = history.warnings.map(
    ({ message, hint }): Note => ({ kind: 'warning', text: hint ? `${message} ${hint}` : message }),
  );
  return [...warnings, ...checks];
}

function perplexityOf(history: RunHistory): FinalPerplexity[] {
  const names = [...new Set(history.evaluations.map(({ name }) => name))];
  const found = (name: string, variant: Variant) =>
    history.evaluations.find((one) => one.name === name && one.variant === variant);
  return names.map((name) => {
    const [full, quantized] = [found(name, 'full-precision'), found(name, 'quantized')];
    return {
      name,
      fullPrecision: finite(full?.perplexity),
      quantized: finite(quantized?.perplexity),
      meanLoss: { fullPrecision: finite(full?.meanLoss), quantized: finite(quantized?.meanLoss) },
    };
  });
}
