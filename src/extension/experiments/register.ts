import * as vscode from 'vscode';
import { COMMANDS, EXPERIMENT_GLOB } from '../../protocol/ids.ts';
import type { Parts } from '../parts.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import type { ExperimentChecker } from './checker.ts';
import { pickExperiment } from './choose.ts';
import { choosePath, ExperimentFixes } from './code-actions.ts';
import { PathCompletion } from './completion.ts';
import { ExperimentLenses } from './lenses.ts';
import { newExperiment, newTable } from './new-experiment.ts';

/** The experiment file as a language: faults, fixes, paths, lenses; and the commands that make or choose one. */
export function registerExperiments(
  parts: Parts,
  checker: ExperimentChecker,
  summaries: RunSummaries,
): vscode.Disposable {
  const { languages, commands } = vscode;
  const selector: vscode.DocumentSelector = { scheme: 'file', pattern: EXPERIMENT_GLOB };
  const lenses = new ExperimentLenses(parts, summaries);
  return vscode.Disposable.from(
    lenses,
    languages.registerCodeLensProvider(selector, lenses),
    languages.registerCodeActionsProvider(selector, new ExperimentFixes(checker), {
      providedCodeActionKinds: ExperimentFixes.kinds,
    }),
    languages.registerCompletionItemProvider(selector, new PathCompletion(), ...PathCompletion.triggers),
    commands.registerCommand(COMMANDS.newExperiment, () => newExperiment()),
    commands.registerCommand(COMMANDS.newTable, newTable),
    commands.registerCommand(COMMANDS.choosePath, choosePath),
    commands.registerCommand(COMMANDS.chooseExperiment, async () => {
      const file = await pickExperiment(parts.experiments);
      if (file !== null) parts.experiments.activate(file);
    }),
  );
}
