import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import type { PictureFormat } from '../../../../protocol/panels/matrix.ts';

interface Picture {
  readonly format: PictureFormat;
  /** Proposed name, without its ending. */
  readonly name: string;
  /** Text, or the bytes of a PNG in base64. */
  readonly content: string;
}

const ENDINGS: Readonly<Record<PictureFormat, string>> = { svg: 'svg', png: 'png', 'vega-lite': 'vl.json' };
/** What a dialog takes for the ending: the part behind the last dot, or it adds all of it again. */
const FILTERS: Readonly<Record<PictureFormat, string>> = { svg: 'svg', png: 'png', 'vega-lite': 'json' };
const TITLES: Readonly<Record<PictureFormat, string>> = { svg: 'SVG', png: 'PNG', 'vega-lite': 'Vega-Lite' };

/** Writes a picture where the person says. @param beside the experiment file whose folder is proposed. */
export async function savePicture({ format, name, content }: Picture, beside: string | null): Promise<void> {
  const ending = ENDINGS[format];
  const target = await vscode.window.showSaveDialog({
    title: vscode.l10n.t('Save picture'),
    ...(beside !== null && { defaultUri: vscode.Uri.file(join(dirname(beside), `${name}.${ending}`)) }),
    filters: { [TITLES[format]]: [FILTERS[format]] },
  });
  if (target === undefined) return;
  await writeFile(target.fsPath, format === 'png' ? Buffer.from(content, 'base64') : content);
  const reveal = vscode.l10n.t('Reveal');
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t('Picture written to {0}.', target.fsPath),
    reveal,
  );
  if (chosen === reveal) await vscode.commands.executeCommand('revealFileInOS', target);
}
