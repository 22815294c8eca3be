import * as vscode from 'vscode';
import type { SiteRecord } from '../../runs/index.ts';
import type { RotationState } from './model.ts';

export function siteName(site: Site): string {
  switch (site) {
    case 'attention-input':
      return vscode.l10n.t('q/k/v input');
    case 'o-input':
      return vscode.l10n.t('o input');
    case 'mlp-input':
      return vscode.l10n.t('gate/up input');
    case 'down-input':
      return vscode.l10n.t('down input');
    case 'query':
      return vscode.l10n.t('queries');
    case 'key':
      return vscode.l10n.t('keys');
    case 'value':
      return vscode.l10n.t('values');
  }
}

export function rotationPlace(name: RotationName): string {
  switch (name) {
    case 'R1':
      return vscode.l10n.t('residual stream');
    case 'R2':
      return vscode.l10n.t('values inside each head');
    case 'R3':
      return vscode.l10n.t('queries and keys');
    case 'R4':
      return vscode.l10n.t('input of down_proj');
  }
}

export function stateName(state: RotationState): string {
  switch (state) {
    case 'none':
      return vscode.l10n.t('none');
    case 'random':
      return vscode.l10n.t('random');
    case 'hadamard':
      return vscode.l10n.t('Hadamard');
    case 'planned':
      return vscode.l10n.t('not learned yet');
    case 'learning':
      return vscode.l10n.t('learning');
    case 'learned':
      return vscode.l10n.t('learned');
    case 'merged':
      return vscode.l10n.t('learned, merged');
    case 'online':
      return vscode.l10n.t('online Hadamard');
  }
}

/** Learned is filled, Hadamard hollow; the words say the same. */
export function stateIcon(state: RotationState): vscode.ThemeIcon {
  switch (state) {
    case 'none':
      return new vscode.ThemeIcon('circle-slash');
    case 'random':
      return new vscode.ThemeIcon('symbol-misc');
    case 'hadamard':
      return new vscode.ThemeIcon('circle-large-outline');
    case 'planned':
      return new vscode.ThemeIcon('circle-outline');
    case 'learning':
      return new vscode.ThemeIcon('sync~spin');
    case 'learned':
      return new vscode.ThemeIcon('circle-large-filled');
    case 'merged':
      return new vscode.ThemeIcon('git-merge');
    case 'online':
      return new vscode.ThemeIcon('zap');
  }
}

/** `9.8 → 17.3 dB · kurtosis 214 → 3.1`. */
export function recordText({ before, after }: SiteRecord): string {
  const decibels = (value: number | null) => (value === null ? '–' : value.toFixed(1));
  const number = (value: number) => value.toFixed(value < 100 ? 1 : 0);
  const kurtosis = vscode.l10n.t('kurtosis {0} → {1}', number(before.kurtosis), number(after.kurtosis));
  if (before.sqnrDb === null && after.sqnrDb === null) return kurtosis;
  const sqnr = vscode.l10n.t('{0} → {1} dB', decibels(before.sqnrDb), decibels(after.sqnrDb));
  return `${sqnr} · ${kurtosis}`;
}
