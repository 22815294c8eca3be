import { statSync } from 'node:fs';
import type * as vscode from 'vscode';
import type { Run } from '../../runs/index.ts';
import type { RunStore } from '../services.ts';

/** Files whose coming or changing is shown outside the panels. */
const SHOWN = ['results', 'activations', 'rotations', 'checkpoint'] as const;

/**
 * Calls back when something about runs changes that views and lenses show. A run at work changes its folder at every
 * step, and of that only the panels tell.
 */
export function onShownChange(runs: RunStore, then: (dirs: readonly string[]) => void): vscode.Disposable {
  const known = new Map<string, string>();
  return runs.onDidChange((dirs) => {
    const changed = dirs.filter((dir) => {
      const run = runs.get(dir);
      const state = run === undefined ? '' : stateOf(run, runs);
      if (known.get(dir) === state) return false;
      known.set(dir, state);
      return true;
    });
    if (changed.length > 0) then(changed);
  });
}

function stateOf(run: Run, runs: RunStore): string {
  const times = SHOWN.map((file) => {
    const time = statSync(run.path(file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    // A checkpoint is replaced at every step; that it is there is all that counts.
    return file === 'checkpoint' ? time > 0 : time;
  });
  return JSON.stringify([run.record.status, times, runs.annotation(run.dir)]);
}
