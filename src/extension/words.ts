/** Words and numbers as the extension shows them. */
import * as vscode from 'vscode';
import type { QueueEvent } from '../protocol/events.ts';
import type { RunState, Translate } from '../protocol/panels/common.ts';
import { cellName, phaseNames, runStates } from '../protocol/panels/words.ts';
import type { Progress } from '../protocol/progress.ts';
import { formatRoughBytes } from '../protocol/text.ts';
import type { EstimateResult } from '../protocol/worker.ts';
import type { CellCount } from '../runs/index.ts';
import type { Language } from './runs/names.ts';
import type { JobKind } from './services.ts';

export { experimentName } from './runs/names.ts';

/** For the texts of `protocol/panels`. */
export const translate: Translate = vscode.l10n.t;

/** The one word for the state of a run. */
export const statusText = (status: RunState): string => runStates(translate)[status];

/** For the names of runs. */
export const language = (): Language => ({ locale: vscode.env.language, t: translate });

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12 s`, `6 min`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return vscode.l10n.t('{0} s', whole);
  if (whole < HOUR) return vscode.l10n.t('{0} min', Math.round(whole / MINUTE));
  return vscode.l10n.t('{0} h {1} min', Math.floor(whole / HOUR), Math.floor((whole % HOUR) / MINUTE));
}

/** `about 3 min, 1.4 GiB`. */
export function expectedText({ seconds, peakBytes }: EstimateResult): string {
  const { t } = vscode.l10n;
  // Less than a second is a measurement of the clock.
  const time = formatDuration(Math.max(1, seconds));
  return peakBytes === null ? t('about {0}', time) : t('about {0}, {1}', time, formatRoughBytes(peakBytes));
}

/** `just now`, `2 h ago`. */
export function formatAge(time: Date, now: Date = new Date()): string {
  const seconds = (now.getTime() - time.getTime()) / 1000;
  if (seconds < MINUTE) return vscode.l10n.t('just now');
  if (seconds < HOUR) return vscode.l10n.t('{0} min ago', Math.floor(seconds / MINUTE));
  if (seconds < 2 * DAY) return vscode.l10n.t('{0} h ago', Math.floor(seconds / HOUR));
  return vscode.l10n.t('{0} days ago', Math.floor(seconds / DAY));
}

/** `now`, `5 min`, `2 h`, `3 d`: where there is little room and it is clear that it is an age. */
export function formatShortAge(time: Date, now: Date = new Date()): string {
  const seconds = (now.getTime() - time.getTime()) / 1000;
  if (seconds < MINUTE) return vscode.l10n.t('now');
  if (seconds < HOUR) return vscode.l10n.t('{0} min', Math.floor(seconds / MINUTE));
  if (seconds < 2 * DAY) return vscode.l10n.t('{0} h', Math.floor(seconds / HOUR));
  return vscode.l10n.t('{0} d', Math.floor(seconds / DAY));
}

export function jobTitle(kind: JobKind): string {
  const { t } = vscode.l10n;
  const titles: Readonly<Record<JobKind, string>> = {
    optimize: t('Optimizing rotation'),
    evaluate: t('Evaluating'),
    inspect: t('Measuring activations'),
    attribute: t('Attributing the loss'),
  };
  return titles[kind];
}

/**
 * `step 41/100 · 6 min left`, `rounding layer 3/30 · 2 min left`, `window 5/12`; of a table,
 * `12 of 60 cells · window 5/12 · GPTQ · 4-4-4 · seed 1`. What is cut off at the end is missed least.
 * @param cells how far the table is that is being filled; null where that is said already.
 */
export function progressText(progress: Progress, cells: CellCount | null = null): string {
  const { cell, phase, queue } = progress;
  const { t } = vscode.l10n;
  const done = cells === null ? [] : [t('{0} of {1} cells', cells.done, cells.total)];
  if (queue !== null) return [...done, queueText(queue)].join(' · ');
  return [
    ...done,
    ...(cell === null || phase !== null ? [workText(progress)] : []),
    ...(cell === null ? [] : [cellName(cell, translate)]),
  ].join(' · ');
}

/** `4 jobs at work · 8 wait (Resources)`: the reasons are the scheduler's words. */
function queueText({ running, pending, reasons }: QueueEvent): string {
  const { t } = vscode.l10n;
  const atWork =
    running === 1 ? t('1 job at work on the cluster') : t('{0} jobs at work on the cluster', running);
  if (pending === 0) return atWork;
  const waiting =
    reasons.length === 0 ? t('{0} wait', pending) : t('{0} wait ({1})', pending, reasons.join(', '));
  return `${atWork} · ${waiting}`;
}

function workText(progress: Progress): string {
  const { phase, step, of, download, rounding, evaluation, secondsLeft } = progress;
  if (download) {
    const percent = Math.floor((100 * download.bytesDone) / Math.max(1, download.bytes));
    return withTimeLeft(vscode.l10n.t('downloading, {0} %', percent), secondsLeft);
  }
  if (phase === 'learn' && of > 0)
    return withTimeLeft(vscode.l10n.t('step {0}/{1}', step, of), step === of ? null : secondsLeft);
  if (rounding) {
    const { layersDone, layers } = rounding;
    const layer = Math.min(layersDone + 1, layers);
    return withTimeLeft(vscode.l10n.t('rounding layer {0}/{1}', layer, layers), secondsLeft);
  }
  if (evaluation) return vscode.l10n.t('window {0}/{1}', evaluation.windowsDone, evaluation.windows);
  return phase === null ? vscode.l10n.t('starting') : phaseNames(translate)[phase];
}

function withTimeLeft(text: string, seconds: number | null): string {
  return seconds === null ? text : vscode.l10n.t('{0} · {1} left', text, formatDuration(seconds));
}
