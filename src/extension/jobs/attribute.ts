/** "Attribute Loss…" of a run or of an experiment: where does quantization cost the loss? */
import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { chooseExperiment } from '../experiments/choose.ts';
import type { Parts } from '../parts.ts';
import { runDirOf } from '../runs/choose.ts';
import { experimentName } from '../words.ts';
import { contentsOf } from './contents.ts';
import { isReady } from './ready.ts';
import { type Outcome, submit } from './submit.ts';

/** @param argument a run, or an experiment, whose newest run with rotations then serves. */
export async function attribute(parts: Parts, argument: unknown): Promise<Outcome | null> {
  const dir = runDirOf(argument);
  const own = dir === null ? undefined : parts.runs.get(dir);
  const experiment = own?.experimentFile ?? (await chooseExperiment(parts.experiments, argument));
  if (experiment === null) return null;
  // The settings of a run are sound: it was made by them.
  if (own === undefined && !(await isReady(experiment, 'inspect'))) return null;
  const run = own ?? parts.runs.ofExperiment(experiment).find((one) => existsSync(one.path('rotations')));
  const wishes = await askWhatElse(experimentName(experiment));
  if (wishes === null) return null;
  const attribution = { ...wishes, ownSettings: own !== undefined };
  const request = { kind: 'attribute', experiment, attribution, ...(run && { runDir: run.dir }) } as const;
  return submit(parts, { ...request, ...(await contentsOf(experiment)) });
}

/** Null where the person thinks better of it. */
async function askWhatElse(name: string): Promise<{ exact: boolean; curve: boolean } | null> {
  const { t } = vscode.l10n;
  const items = [
    {
      label: t('Estimate'),
      detail: t('Three passes forward and back over some of the calibration text: a few evaluations.'),
      wishes: { exact: false, curve: false },
    },
    {
      label: t('Estimate, and perplexity against average bits'),
      detail: t('Also evaluates networks with 8 bits in the costliest places: some evaluations more.'),
      wishes: { exact: false, curve: true },
    },
    {
      label: t('Estimate, and switch each rounding'),
      detail: t('Half as many evaluations as a network has roundings, both ways: for small models.'),
      wishes: { exact: true, curve: false },
    },
  ];
  const picked = await vscode.window.showQuickPick(items, {
    title: t('Where does the loss of {0} go?', name),
    matchOnDetail: true,
  });
  return picked?.wishes ?? null;
}
