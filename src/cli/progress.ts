import { methodTitle, taskTitle } from '../config/index.ts';
import type {
  CellEvent,
  DownloadProgressEvent,
  EvaluationProgressEvent,
  ImportProgressEvent,
  PhaseEvent,
  QueueEvent,
  RoundingError,
  RoundingEvent,
  RoundingProgressEvent,
  RunEvent,
  ScalingEvent,
  StepEvent,
  TaskProgressEvent,
  TrainingProgressEvent,
} from '../protocol/events.ts';
import { phaseNames } from '../protocol/panels/words.ts';
import { printable } from '../protocol/printable.ts';
import { advance, NO_PROGRESS } from '../protocol/progress.ts';
import { formatShare, METRIC_NAMES, type TaskScores } from '../protocol/task-scores.ts';
import { formatBytes, formatCount, formatPerplexity, formatSeconds } from '../protocol/text.ts';
import type { Output } from './output.ts';

/** Without a terminal, changing lines come at least this far apart. */
const PLAIN_INTERVAL_MS = 2000;

/** The command line is English. */
const PHASE_WORDS = phaseNames((text) => text);

/** Shows the events of a run, as one changing line on a terminal and as plain lines elsewhere. */
export class ProgressLines {
  private readonly output: Output;
  private readonly now: () => number;
  private lastPlain = Number.NEGATIVE_INFINITY;
  private progress = NO_PROGRESS;

  constructor(output: Output, now: () => number = Date.now) {
    this.output = output;
    this.now = now;
  }

  show(event: RunEvent): void {
    this.progress = advance(this.progress, event);
    switch (event.type) {
      case 'step':
        this.changing(this.stepText(event), event.step === 1 || event.step === event.of);
        break;
      case 'evaluation-progress':
        this.changing(evaluationText(event), false);
        break;
      case 'download-progress':
        this.changing(this.downloadText(event), event.bytesDone === event.bytes);
        break;
      case 'import-progress':
        this.changing(importText(event), event.tensorsDone === event.tensors);
        break;
      case 'task-progress':
        this.changing(taskText(event), false);
        break;
      case 'training-progress':
        this.changing(this.trainingText(event), event.done === event.of);
        break;
      case 'rounding-progress':
        this.changing(this.roundingText(event), false);
        break;
      case 'rounding':
        this.changing(roundedText(event), event.layer === 0 || event.layer + 1 === event.layers);
        break;
      case 'queue':
        this.changing(queueText(event), false);
        break;
      case 'phase':
        this.showPhase(event);
        break;
      case 'warning':
        this.output.warn(event.message, printable(`${event.message} ${event.hint}`.trimEnd()));
        break;
      default: {
        const text = describe(event);
        if (text !== null) this.note(text);
      }
    }
  }

  /** Clears the changing line. */
  end(): void {
    this.output.status('');
  }

  private note(text: string): void {
    this.output.note(printable(text));
  }

  private changing(words: string, always: boolean): void {
    const text = printable(words);
    if (this.output.live) {
      this.output.status(text.slice(0, Math.max(20, this.output.columns - 1)));
    } else if (always || this.now() - this.lastPlain >= PLAIN_INTERVAL_MS) {
      this.lastPlain = this.now();
      this.output.note(text);
    }
  }

  private showPhase({ phase, state, detail, seconds }: PhaseEvent): void {
    const words = PHASE_WORDS[phase];
    if (state === 'started') this.changing(`${words} …`, false);
    else this.note(`${words}${phaseTail(detail, seconds)}`);
  }

  private stepText(event: StepEvent): string {
    const parts = [
      `step ${event.step}/${event.of}`,
      `loss ${event.loss.toFixed(4)}`,
      `gradient ${event.gradientNorm.toPrecision(3)}`,
      `${formatSeconds(event.seconds)}/step`,
    ];
    return [...parts, ...this.timeLeft(event.step < event.of)].join(' · ');
  }

  private downloadText({ name, file, bytesDone, bytes }: DownloadProgressEvent): string {
    const text = `${name}: ${file} · ${formatBytes(bytesDone)} of ${formatBytes(bytes)}`;
    return [text, ...this.timeLeft(bytesDone < bytes)].join(' · ');
  }

  private trainingText({ method, work, done, of, loss }: TrainingProgressEvent): string {
    const counted = work === 'generate' ? `${done}/${of} sequences written` : `step ${done}/${of}`;
    const divergence = loss === null ? [] : [`divergence ${loss.toFixed(4)}`];
    return [`${methodTitle(method)}: ${counted}`, ...divergence, ...this.timeLeft(done < of)].join(' · ');
  }

  private roundingText({ method, layersDone, layers, done, loss }: RoundingProgressEvent): string {
    const text = `${methodTitle(method)}: layer ${Math.min(layersDone + 1, layers)}/${layers} · ${Math.floor(100 * done)} %`;
    const learned = loss === undefined ? [] : [`loss ${loss.toExponential(2)}`];
    return [text, ...learned, ...this.timeLeft(done < 1)].join(' · ');
  }

  private timeLeft(isUnderWay: boolean): string[] {
    const { secondsLeft } = this.progress;
    return isUnderWay && secondsLeft !== null ? [`${formatSeconds(secondsLeft)} left`] : [];
  }
}

function importText({ tensorsDone, tensors, bytesDone, bytes }: ImportProgressEvent): string {
  return `${tensorsDone}/${formatCount(tensors, 'tensor')} · ${formatBytes(bytesDone)} of ${formatBytes(bytes)}`;
}

function evaluationText(event: EvaluationProgressEvent): string {
  const perplexity = formatPerplexity(event.runningPerplexity);
  return `${event.name}, ${event.variant}: window ${event.windowsDone}/${event.windows} · perplexity ${perplexity}`;
}

function taskText(event: TaskProgressEvent): string {
  const { task, variant, questionsDone, questions, runningAccuracy } = event;
  const accuracy = questionsDone === 0 ? '' : ` · ${(100 * runningAccuracy).toFixed(1)} % right`;
  return `${taskTitle(task)}, ${variant}: question ${questionsDone}/${questions}${accuracy}`;
}

function scoresText({ acc, accNorm }: TaskScores): string {
  const norm = accNorm === null ? '' : `, ${METRIC_NAMES.accNorm} ${formatShare(accNorm)}`;
  return `${METRIC_NAMES.acc} ${formatShare(acc)}${norm}`;
}

/** Reports the mean over the layer's seven linear layers. */
function roundedText({ method, layer, layers, errors }: RoundingEvent): string {
  const text = `${methodTitle(method)}: layer ${layer + 1}/${layers}`;
  if (errors.length === 0) return text;
  const mean = (of: (error: RoundingError) => number): string =>
    percent(errors.reduce((sum, error) => sum + of(error), 0) / errors.length);
  const [reached, nearest] = [mean(({ error }) => error), mean((error) => error.nearest)];
  return `${text}, error of outputs ${reached}, to nearest ${nearest}`;
}

/** Writes two digits, without an exponent. */
const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;

function phaseTail(detail: string | undefined, seconds: number | undefined): string {
  const time = seconds === undefined ? '' : ` (${formatSeconds(seconds)})`;
  return `${detail ? `: ${detail}` : ''}${time}`;
}

/** These are phases and events whose line changes. */
type Shown =
  | 'download-progress'
  | 'import-progress'
  | 'step'
  | 'evaluation-progress'
  | 'task-progress'
  | 'training-progress'
  | 'rounding-progress'
  | 'rounding'
  | 'phase'
  | 'queue'
  | 'warning';

/** Returns the line of an event that happens once; null for those not shown. */
function describe(event: Exclude<RunEvent, { type: Shown }>): string | null {
  switch (event.type) {
    case 'run-started': {
      const from = event.resumedFromStep > 0 ? `, resumed from step ${event.resumedFromStep}` : '';
      return `${event.bits} on ${event.runtime}${from}${event.run ? `\nRun: ${event.run}` : ''}`;
    }
    case 'preservation':
      return `${event.where}: full-precision logits differ by ${event.relative.toExponential(1)} of their largest (allowed ${event.tolerance.toExponential(1)})`;
    case 'evaluation':
      return `${event.name}, ${event.variant}: perplexity ${formatPerplexity(event.perplexity)} over ${formatCount(event.windows, 'window')} (${formatSeconds(event.seconds)})`;
    case 'task':
      return `${taskTitle(event.task)}, ${event.variant}: ${scoresText(event.scores)} over ${formatCount(event.questions, 'question')} (${formatSeconds(event.seconds)})`;
    case 'scaling':
      return scalingText(event);
    case 'statistics':
      return `Activation statistics of ${formatCount(event.layers, 'layer')}: ${event.file}`;
    case 'cell':
      return cellText(event);
    case 'submitted':
      return `Submitted ${formatCount(event.tasks, 'job')} as array ${event.job}, at most ${event.limit} at once`;
    case 'checkpoint':
    case 'run-finished':
      return null;
  }
}

const CELL_WORDS: Readonly<Record<CellEvent['state'], string>> = {
  kept: 'is there already',
  started: '…',
  finished: 'is done',
  failed: 'failed',
  empty: 'stays empty',
  busy: 'is at work elsewhere',
};

function cellText({ cell, cells, bits, title, seed, state, message }: CellEvent): string {
  const text = `[${cell}/${cells}] ${bits} ${title}, seed ${seed}: ${CELL_WORDS[state]}`;
  return message === undefined ? text : `${text}: ${message}`;
}

/** `12/60 cells · 4 jobs at work · 8 wait (Resources)`. */
function queueText({ running, pending, reasons, cells, settled }: QueueEvent): string {
  const why = reasons.length === 0 ? '' : ` (${reasons.join(', ')})`;
  const waiting = pending === 0 ? [] : [`${pending} wait${why}`];
  return [
    `${settled}/${formatCount(cells, 'cell')}`,
    `${formatCount(running, 'job')} at work`,
    ...waiting,
  ].join(' · ');
}

/** `SmoothQuant: layer 3/5, attention-norm 0.45, mlp-norm 0.6, error of the output 2.1 %`. */
function scalingText({ method, layer, layers, choices }: ScalingEvent): string {
  const chosen = choices.map(({ seam, alpha }) => `${seam} ${alpha}`);
  const error = choices.at(-1)?.error ?? 0;
  return [
    `${methodTitle(method)}: layer ${layer + 1}/${layers}`,
    ...chosen,
    `error of the output ${percent(error)}`,
  ].join(', ');
}

/** Shows every event of a run. @returns the result of the run. */
export async function follow<T>(run: AsyncGenerator<RunEvent, T>, output: Output): Promise<T> {
  const progress = new ProgressLines(output);
  try {
    for (;;) {
      const next = await run.next();
      if (next.done) return next.value;
      progress.show(next.value);
    }
  } finally {
    progress.end();
  }
}
