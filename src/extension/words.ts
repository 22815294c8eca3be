/** Words and numbers as the extension shows them. */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { PhaseName } from '../protocol/events.ts';
import type { JobProgress } from './jobs/progress.ts';
import type { JobKind } from './services.ts';

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

/** `quick` of `/…/quick.spinquant.json`. */
export function experimentName(file: string): string {
  return basename(file).replace(/\.spinquant\.json$/i, '');
}

export function jobTitle(kind: JobKind): string {
  switch (kind) {
    case 'optimize':
      return vscode.l10n.t('Optimizing rotation');
    case 'evaluate':
      return vscode.l10n.t('Evaluating');
    case 'inspect':
      return vscode.l10n.t('Measuring activations');
  }
}

export function phaseTitle(phase: PhaseName): string {
  switch (phase) {
    case 'load':
      return vscode.l10n.t('loading the model');
    case 'scan':
      return vscode.l10n.t('scanning the weights');
    case 'tokenize':
      return vscode.l10n.t('tokenizing');
    case 'prepare':
      return vscode.l10n.t('preparing the network');
    case 'preserve-check':
      return vscode.l10n.t('checking that rotation preserves the function');
    case 'learn':
      return vscode.l10n.t('learning rotations');
    case 'fuse':
      return vscode.l10n.t('merging rotations');
    case 'round':
      return vscode.l10n.t('rounding weights by GPTQ');
    case 'evaluate':
      return vscode.l10n.t('measuring perplexity');
    case 'statistics':
      return vscode.l10n.t('measuring activations');
    case 'write':
      return vscode.l10n.t('writing');
  }
}

/** `step 41/100 · 6 min left`. */
export function progressText(progress: JobProgress): string {
  if (progress.phase === 'learn' && progress.of > 0) {
    const step = vscode.l10n.t('step {0}/{1}', progress.step, progress.of);
    if (progress.secondsLeft === null || progress.step === progress.of) return step;
    return vscode.l10n.t('{0} · {1} left', step, formatDuration(progress.secondsLeft));
  }
  if (progress.phase === 'evaluate' && progress.windows > 0)
    return vscode.l10n.t('window {0}/{1}', progress.windowsDone, progress.windows);
  return progress.phase === null ? vscode.l10n.t('starting') : phaseTitle(progress.phase);
}
