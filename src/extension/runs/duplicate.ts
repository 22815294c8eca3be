import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import type { Run } from '../../runs/index.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import { experimentName } from './names.ts';
import { sparseExperiment } from './sparse-experiment.ts';

/** Writes the settings that a run was made with into a new file beside its experiment, and opens it. */
export async function duplicateAsExperiment(run: Run): Promise<void> {
  const [{ experimentSchema }, { readJson }] = await Promise.all([loadConfig(), loadRuns()]);
  const experiment = experimentSchema.parse(await readJson(run.path('experiment')));
  const uri = vscode.Uri.file(freeName(run.experimentFile));
  const text = `${JSON.stringify(sparseExperiment(experiment, experimentSchema), null, 2)}\n`;
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  await vscode.window.showTextDocument(uri);
}

/** `quick-copy.spinquant.json`, or `quick-copy-2.spinquant.json` beside one. */
function freeName(file: string): string {
  const base = join(dirname(file), `${experimentName(file)}-copy`);
  for (let n = 1; ; n++) {
    const path = `${n === 1 ? base : `${base}-${n}`}.spinquant.json`;
    if (!existsSync(path)) return path;
  }
}
