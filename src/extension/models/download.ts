import * as vscode from 'vscode';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { offerExperiment } from './offer.ts';
import { followBytes } from './progress.ts';

/** Fetches a model or a data set by its name into the cache, by the engine, and offers an experiment with a model. */
export async function downloadFromHub(parts: Parts): Promise<void> {
  const { t } = vscode.l10n;
  const asked = await vscode.window.showInputBox({
    title: t('Download from the Hub'),
    prompt: t(
      'A model (ORG/NAME) or a data set (hf://datasets/ORG/NAME/FOLDER). Files go to the cache that other tools share.',
    ),
    placeHolder: 'HuggingFaceTB/SmolLM2-135M',
    ignoreFocusOut: true,
  });
  const name = asked?.trim() ?? '';
  if (name === '') return;
  try {
    const { files } = await followBytes(parts, t('Downloading {0}', name), 'download', { name });
    const isModel = !/^hf:\/\/datasets\//.test(name);
    if (isModel) await offerExperiment(t('{0} is on this disk.', name), { path: files[0]!, hubName: name });
    else await offerName(name);
  } catch (error) {
    showProblem(parts.log, error);
  }
}

/** A data set is named as the text of an experiment. */
async function offerName(name: string): Promise<void> {
  const copy = vscode.l10n.t('Copy Name');
  const said = vscode.l10n.t('{0} is on this disk: name it as a text of an experiment.', name);
  const chosen = await vscode.window.showInformationMessage(said, copy);
  if (chosen === copy) await vscode.env.clipboard.writeText(name);
}
