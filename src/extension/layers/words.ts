import * as vscode from 'vscode';
import type { MapSymbol, Site } from '../../protocol/block.ts';
import { mapPlaces, siteNames } from '../../protocol/panels/words.ts';
import type { SiteRecord } from '../../runs/index.ts';
import { translate } from '../words.ts';
import type { MapFacts, MapState } from './model.ts';

export const siteName = (site: Site): string => siteNames(translate)[site];

export const mapPlace = (symbol: MapSymbol): string => mapPlaces(translate)[symbol];

/** Learned is filled, Hadamard hollow; the words say the same. */
const ICONS: Readonly<Record<MapState, string>> = {
  none: 'circle-slash',
  random: 'symbol-misc',
  hadamard: 'circle-large-outline',
  planned: 'circle-outline',
  learning: 'sync~spin',
  learned: 'circle-large-filled',
  merged: 'git-merge',
  online: 'zap',
  scaled: 'settings',
  mixed: 'zap',
};

export function stateIcon(state: MapState): vscode.ThemeIcon {
  return new vscode.ThemeIcon(ICONS[state]);
}

export function stateName(state: MapState): string {
  const { t } = vscode.l10n;
  const names: Readonly<Record<MapState, string>> = {
    none: t('none'),
    random: t('random'),
    hadamard: t('Hadamard'),
    planned: t('not learned yet'),
    learning: t('learning'),
    learned: t('learned'),
    merged: t('learned, merged'),
    online: t('online Hadamard'),
    scaled: t('scaled'),
    mixed: t('mixed online'),
  };
  return names[state];
}

/** `R1 learned, S scaled`. */
export function mapsText(maps: readonly MapFacts[]): string {
  return maps.map(({ symbol, state }) => `${symbol} ${stateName(state)}`).join(', ');
}

/** `17.3 dB (+7.5)`: what is left, and what rotation gave. Of what is not quantized the kurtosis. */
export function shortText({ before, after }: SiteRecord): string {
  if (after.sqnrDb === null) return vscode.l10n.t('kurtosis {0}', kurtosisText(after.kurtosis));
  const left = vscode.l10n.t('{0} dB', after.sqnrDb.toFixed(1));
  if (before.sqnrDb === null) return left;
  const gain = after.sqnrDb - before.sqnrDb;
  return `${left} (${gain < 0 ? '−' : '+'}${Math.abs(gain).toFixed(1)})`;
}

const kurtosisText = (value: number) => value.toFixed(value < 100 ? 1 : 0);

/** `9.8 → 17.3 dB · kurtosis 214 → 3.1`. */
export function recordText({ before, after }: SiteRecord): string {
  const decibels = (value: number | null) => (value === null ? '–' : value.toFixed(1));
  const kurtosis = vscode.l10n.t(
    'kurtosis {0} → {1}',
    kurtosisText(before.kurtosis),
    kurtosisText(after.kurtosis),
  );
  if (before.sqnrDb === null && after.sqnrDb === null) return kurtosis;
  const sqnr = vscode.l10n.t('{0} → {1} dB', decibels(before.sqnrDb), decibels(after.sqnrDb));
  return `${sqnr} · ${kurtosis}`;
}
