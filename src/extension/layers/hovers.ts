/** All that the rows of the layer tree have no room for. */
import * as vscode from 'vscode';
import { escapeMarkdown } from '../../protocol/printable.ts';
import type { SiteRecord } from '../../runs/index.ts';
import { faultText } from './decorations.ts';
import { badSites, type LayerNode } from './model.ts';
import { mapsText, siteName } from './words.ts';

/** A table of the sites of a layer; nothing before they were measured. */
export function layerTooltip(node: LayerNode): vscode.MarkdownString | undefined {
  const measured = node.sites.filter(({ record }) => record !== null);
  if (measured.length === 0) return undefined;
  const { t } = vscode.l10n;
  const text = new vscode.MarkdownString();
  text.appendMarkdown(`**${escapeMarkdown(t('layer {0}', node.layer))}**\n\n`);
  text.appendMarkdown(`| | ${t('SQNR')} | ${t('kurtosis')} | |\n|---|---|---|---|\n`);
  for (const { site, maps, record } of measured) {
    const cells = [siteName(site), sqnrText(record!), kurtosisText(record!), mapsText(maps)];
    text.appendMarkdown(`| ${cells.map(escapeMarkdown).join(' | ')} |\n`);
  }
  for (const bad of badSites(node)) text.appendMarkdown(`\n▲ ${escapeMarkdown(faultText(bad))}\n`);
  return text;
}

/** @param maps the maps of the site in words. */
export function siteTooltip(maps: string, record: SiteRecord): vscode.MarkdownString {
  const { t } = vscode.l10n;
  const text = new vscode.MarkdownString();
  const { before, after } = record;
  text.appendMarkdown(`**${escapeMarkdown(siteName(record.site))}** · ${escapeMarkdown(maps)}\n\n`);
  const rows: readonly (readonly [string, string, string])[] = [
    [t('SQNR'), decibels(before.sqnrDb), decibels(after.sqnrDb)],
    [t('kurtosis'), before.kurtosis.toPrecision(3), after.kurtosis.toPrecision(3)],
    ['max |x|', before.maxAbs.toPrecision(3), after.maxAbs.toPrecision(3)],
  ];
  text.appendMarkdown(`| | ${t('before')} | ${t('after')} |\n|---|--:|--:|\n`);
  for (const cells of rows) text.appendMarkdown(`| ${cells.map(escapeMarkdown).join(' | ')} |\n`);
  return text;
}

const decibels = (value: number | null) => (value === null ? '–' : `${value.toFixed(1)} dB`);
const sqnrText = ({ before, after }: SiteRecord) => `${decibels(before.sqnrDb)} → ${decibels(after.sqnrDb)}`;
const kurtosisText = ({ before, after }: SiteRecord) =>
  `${before.kurtosis.toPrecision(3)} → ${after.kurtosis.toPrecision(3)}`;
