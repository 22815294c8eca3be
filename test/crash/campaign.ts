import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dice } from '../fuzz/mutations/dice.ts';
import { makeReference, type Reference, tryEvaluate, tryOptimize } from './trial.ts';
import { EXPERIMENT_FILES, makeWorkspace } from './workspace.ts';

/**
 * Kills jobs until so many kills have struck.
 * @param say gets a line for each trial.
 * @returns the number of kills.
 */
export async function crash(kills: number, seed: number, say: (line: string) => void): Promise<number> {
  const workspace = mkdtempSync(join(tmpdir(), 'spinquant-crash-'));
  try {
    await makeWorkspace(workspace);
    const references: Reference[] = [];
    let struck = 0;
    for (let trial = 0; struck < kills; trial++) {
      const experiment = EXPERIMENT_FILES[trial % EXPERIMENT_FILES.length]!;
      const reference =
        references.find((one) => one.experiment === experiment) ??
        (await makeReference(workspace, experiment));
      if (!references.includes(reference)) references.push(reference);
      const dice = new Dice(seed, trial);
      const run = trial % 4 === 3 ? tryEvaluate : tryOptimize;
      const { kills: moments } = await run(workspace, reference, dice);
      struck += moments.length;
      say(`${trial}: ${experiment}: ${moments.length > 0 ? moments.join('; ') : 'ended before its kill'}`);
    }
    return struck;
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
}
