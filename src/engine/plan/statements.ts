/** What is said of a network before it is made, and what chose it. */
import { type RunEvent, timed } from '../../protocol/events.ts';
import type { ResultsFile } from '../../runs/index.ts';
import { runTimeStatements } from './experiment-maps.ts';
import { choiceStatement } from './key-offset.ts';
import { ownMaps } from './networks.ts';
import type { Workbench } from './workbench.ts';

/** A sentence for each thing beside products at run time, and for what the calibration text chose, or will choose. */
export function statementsOf(bench: Workbench): string[] {
  const { experiment, checkpoint, keyChoice } = bench;
  return [
    ...runTimeStatements(experiment, checkpoint.config, ownMaps(bench)),
    ...(keyChoice ? [choiceStatement(keyChoice)] : []),
  ];
}

/** The same of a choice alone. */
export function* choiceSaid({ keyChoice }: Workbench): Generator<RunEvent> {
  if (keyChoice)
    yield timed({ type: 'phase', phase: 'prepare', state: 'finished', detail: choiceStatement(keyChoice) });
}

/** The choice as results have it. */
export function keyChoiceOf({ keyChoice }: Workbench): Pick<ResultsFile, 'keyOffset'> {
  return keyChoice ? { keyOffset: keyChoice } : {};
}
